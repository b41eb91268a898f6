"""Synthetic data: two regression tasks of a chosen correlation (Ma et al., KDD 2018, §3.2).

    u1, u2 orthogonal unit vectors;  w1 = c u1;  w2 = c (p u1 + sqrt(1 - p²) u2);  x ~ N(0, I_d)
    y_k = w_k·x + sum_i sin(alpha_i w_k·x + beta_i) + noise_k;  noise_k of variance 0.01

The paper leaves c, alpha, beta and their number open. The defaults here (c = 0.3, alpha_i = 2i,
beta = 0, 14 terms) meet its Fig. 2, the labels' Pearson correlation against the cosine p, within
0.01 at every point.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config.data import SyntheticData


@dataclass(frozen=True)
class SineTasks:
    """Pair of synthetic tasks; methods work on one run or, with leading axes, on many.

    Attributes:
        dims: d, at least 2.
        cosine: p, in [-1, 1], between the weight vectors of the two tasks.
        scale: c, length of the weight vectors.
        alpha: frequencies of the sine terms.
        beta: their phases, as many.
        noise_variance: of each label's noise.
    """

    dims: int = 100
    cosine: float = 0.5
    scale: float = 0.3
    alpha: tuple[float, ...] = field(default=tuple(2.0 * i for i in range(1, 15)))
    beta: tuple[float, ...] = field(default=(0.0,) * 14)
    noise_variance: float = 0.01

    def weights(self, generator: torch.Generator, *runs: int) -> Tensor:
        """Draw w1 and w2 of each run: float32 (*runs, 2, d)."""
        draw = torch.randn(*runs, 2, self.dims, generator=generator, dtype=torch.float64, device=generator.device)
        first = draw[..., 0, :] / draw[..., 0, :].norm(dim=-1, keepdim=True)
        rest = draw[..., 1, :] - (draw[..., 1, :] * first).sum(-1, keepdim=True) * first
        second = rest / rest.norm(dim=-1, keepdim=True)
        turned = self.cosine * first + math.sqrt(1.0 - self.cosine**2) * second
        return (self.scale * torch.stack([first, turned], dim=-2)).float()

    def rows(self, weights: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw `count` rows for each run of `weights` (*runs, 2, d).

        Returns x (*runs, B, d) and y (*runs, B, 2).
        """
        x = torch.randn(*weights.shape[:-2], count, self.dims, generator=generator, device=weights.device)
        clean = self.signal(x @ weights.transpose(-1, -2))
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        return x, clean + math.sqrt(self.noise_variance) * noise

    def signal(self, projected: Tensor) -> Tensor:
        """Turn w·x, of any shape, into the label without its noise."""
        total = projected.clone()
        for alpha, beta in zip(self.alpha, self.beta, strict=True):
            total += torch.sin(alpha * projected + beta)
        return total


def sine_tasks(data: SyntheticData) -> SineTasks:
    """Read the pair of tasks from a configuration."""
    steps = range(1, data.sines + 1)
    return SineTasks(
        dims=data.dims,
        cosine=data.cosine,
        scale=data.scale,
        alpha=tuple(data.alpha_step * i for i in steps),
        beta=tuple(data.beta_step * i for i in steps),
        noise_variance=data.noise_variance,
    )


def generate(data: SyntheticData) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw all rows of a configuration: x (rows, d) and y (rows, 2).

    The seed decides every number.
    """
    generator = torch.Generator().manual_seed(data.seed)
    tasks = sine_tasks(data)
    x, y = tasks.rows(tasks.weights(generator), data.rows, generator)
    return x.numpy(), y.numpy()
