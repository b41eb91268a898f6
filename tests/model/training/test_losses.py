import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.schema import Rows, Task
from model.training.losses import Targets, TaskLosses, joint_loss, targets_of

TASKS = (
    Task("price", "regression", mean=100.0, std=20.0, weight=2.0),
    Task("sold", "binary", ("no", "yes"), weight=3.0),
    Task("grade", "multiclass", ("a", "b", "c"), weight=5.0),
)
NAN = math.nan
WHOLE = Targets(torch.zeros(2, 3), None)


def targets(labels: list[list[float]], weights: list[float] | None = None) -> Targets:
    array = np.array(labels, np.float64)
    empty = np.empty((len(array), 0))
    times = None if weights is None else np.array(weights, np.float32)
    rows = Rows(empty.astype(np.float32), empty.astype(np.int64), array, empty.astype(object), weights=times)
    return targets_of(rows, TASKS, torch.device("cpu"))


def outputs(rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(rows), torch.randn(rows), torch.randn(rows, 3)


def test_each_kind_has_its_loss() -> None:
    labels = targets([[120.0, 1.0, 2.0], [90.0, 0.0, 0.0]])
    value, logit, logits = outputs(2)
    expected = [
        ((value - torch.tensor([1.0, -0.5])) ** 2).mean(),
        -torch.stack([logit[0].sigmoid().log(), (1 - logit[1].sigmoid()).log()]).mean(),
        -torch.stack([logits[0].softmax(0)[2].log(), logits[1].softmax(0)[0].log()]).mean(),
    ]
    torch.testing.assert_close(TaskLosses(TASKS).per_task((value, logit, logits), labels), torch.stack(expected))


def test_rows_without_a_label_count_for_the_other_tasks_alone() -> None:
    labels = [[120.0, NAN, 2.0], [90.0, 1.0, NAN], [NAN, 0.0, 0.0]]
    raw = outputs(3)
    found = TaskLosses(TASKS).per_task(raw, targets(labels))
    for task, kept in enumerate(([0, 1], [1, 2], [0, 2])):
        complete = [[100.0 if math.isnan(v) else v for v in labels[row]] for row in kept]
        complete = [[row[0], min(row[1], 1.0), min(row[2], 2.0)] for row in complete]
        alone = TaskLosses(TASKS).per_task([r[kept] for r in raw], targets(complete))
        torch.testing.assert_close(found[task], alone[task])


def test_missing_labels_leave_no_trace_in_the_gradient() -> None:
    raw = [output.requires_grad_() for output in outputs(2)]
    losses = TaskLosses(TASKS)
    labels = targets([[NAN, NAN, NAN], [NAN, 1.0, 2.0]])
    losses.objective(losses.per_task(raw, labels), labels).backward()  # type: ignore[no-untyped-call]
    for output in raw:
        assert output.grad is not None
        assert output.grad.isfinite().all()
        assert (output.grad[0] == 0.0).all()
    assert raw[0].grad is not None
    assert raw[0].grad.abs().sum() == 0.0


@pytest.mark.parametrize("gap", [NAN, 90.0])
def test_a_row_counts_as_often_as_its_weight(gap: float) -> None:
    labels, weights = [[120.0, 1.0, 2.0], [gap, 0.0, 0.0], [80.0, 1.0, 1.0]], [2.0, 1.0, 3.0]
    often = [0, 0, 1, 2, 2, 2]
    raw = [output.requires_grad_() for output in outputs(3)]
    losses = TaskLosses(TASKS)
    weighed, repeated = targets(labels, weights), targets([labels[row] for row in often])
    found, expected = losses.per_task(raw, weighed), losses.per_task([r[often] for r in raw], repeated)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(weighed.totals(), repeated.totals())
    gradients = [torch.autograd.grad(loss.sum(), raw, retain_graph=True) for loss in (found, expected)]
    torch.testing.assert_close(gradients[0], gradients[1])
    chosen = torch.tensor([2, 0])
    alone = losses.per_task([r[chosen] for r in raw], targets([labels[2], labels[0]], [3.0, 2.0]))
    torch.testing.assert_close(losses.per_task([r[chosen] for r in raw], weighed.take(chosen)), alone)


def test_light_weights_are_shares_too_and_a_task_without_labels_has_no_loss() -> None:
    labels = [[120.0, NAN, 2.0], [90.0, NAN, 0.0]]
    raw, losses = outputs(2), TaskLosses(TASKS)
    light = losses.per_task(raw, targets(labels, [1e-6, 3e-6]))
    torch.testing.assert_close(light, losses.per_task(raw, targets(labels, [1.0, 3.0])))
    assert light[1] == 0.0


def test_fixed_weights_multiply() -> None:
    losses = TaskLosses(TASKS)
    per_task = torch.tensor([1.0, 10.0, 100.0])
    assert losses.total(per_task).item() == 532.0
    assert losses.objective(per_task, WHOLE).item() == 532.0


@pytest.mark.parametrize("weight", [1.0, 7.0])
def test_learned_weights_settle_at_the_size_of_each_loss(weight: float) -> None:
    """The minimum over s of exp(-s) f L + s / 2 is at exp(s) = 2 f L, for any given weight."""
    losses = TaskLosses([replace(task, weight=weight) for task in TASKS], "uncertainty")
    per_task = torch.tensor([0.5, 2.0, 8.0])
    optimizer = torch.optim.Adam(losses.parameters(), lr=0.05)
    for _ in range(1500):
        optimizer.zero_grad()
        losses.objective(per_task, WHOLE).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert losses.log_variance is not None
    torch.testing.assert_close(losses.log_variance.exp().detach(), torch.tensor([0.5, 4.0, 16.0]), rtol=0.01, atol=0.01)
    assert losses.total(per_task).item() == pytest.approx(weight * 10.5)


def test_binary_loss_is_stable_for_large_logits() -> None:
    labels = targets([[100.0, 1.0, 0.0]])
    raw = (torch.zeros(1), torch.tensor([-1e4]), torch.zeros(1, 3))
    assert TaskLosses(TASKS).per_task(raw, labels)[1].item() == pytest.approx(1e4)


@pytest.mark.parametrize("every", [1, 2, 50])
def test_a_learned_weight_does_not_depend_on_how_many_batches_hold_the_task_s_labels(every: int) -> None:
    """Labels in one batch of fifty leave the learned weight near 1.

    The regulariser of the other 49 once raised it to 56.
    """
    losses = TaskLosses(TASKS[:2], "uncertainty")
    optimizer = torch.optim.SGD(losses.parameters(), lr=0.1)
    per_task = torch.tensor([1.0, 0.5])
    for step in range(200 * every):
        held = 1.0 if step % every == 0 else 0.0
        present = torch.tensor([[0.0, 1.0], [held, 1.0]])
        optimizer.zero_grad()
        losses.objective(per_task * torch.tensor([held, 1.0]), Targets(torch.zeros(2, 2), present)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert losses.log_variance is not None
    torch.testing.assert_close((-losses.log_variance).exp().detach(), torch.tensor([1.0, 1.0]), rtol=0.01, atol=0.01)


def test_a_batch_without_a_task_s_labels_leaves_its_weight_alone() -> None:
    losses = TaskLosses(TASKS, "uncertainty")
    labels = targets([[NAN, 1.0, 2.0], [NAN, 0.0, NAN]])
    losses.objective(losses.per_task(outputs(2), labels), labels).backward()  # type: ignore[no-untyped-call]
    assert losses.log_variance is not None
    assert losses.log_variance.grad is not None
    assert losses.log_variance.grad[0] == 0.0
    assert (losses.log_variance.grad[1:] != 0.0).all()


def test_labels_are_standardised_before_they_are_rounded() -> None:
    """Seconds since 1970 keep their deviation of 30.

    Float32 steps by 128 there, and would leave a few values of them.
    """
    seconds = 1_700_000_000 + np.arange(-50.0, 51.0)
    empty = np.empty((len(seconds), 0))
    rows = Rows(empty.astype(np.float32), empty.astype(np.int64), seconds[:, None], empty.astype(object))
    task = Task("ends_at", "regression", mean=float(seconds.mean()), std=float(seconds.std()))
    found = targets_of(rows, [task], torch.device("cpu")).values[:, 0]
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), (seconds - seconds.mean()) / seconds.std(), rtol=1e-6, atol=1e-7)


FUNNEL = (Task("click", "binary", ("no", "yes")), Task("conversion", "binary", ("no", "yes"), after="click"))


def test_a_funnel_task_s_loss_is_that_of_the_joint_probability() -> None:
    click, conversion = torch.tensor([0.3, -2.0, 1.0]), torch.tensor([-0.7, 0.5, 2.0])
    labels = Targets(torch.tensor([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]), None)
    p = click.sigmoid() * conversion.sigmoid()
    expected = torch.nn.functional.binary_cross_entropy(p, torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(TaskLosses(FUNNEL).per_task((click, conversion), labels)[1], expected)


@pytest.mark.parametrize("size", [0.0, 15.0, 50.0, 1000.0])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_joint_loss_and_its_gradient_are_finite_at_any_logits(size: float, label: float) -> None:
    logits = [torch.tensor([size, -size, size, -size], requires_grad=True), torch.tensor([size, size, -size, -size])]
    loss = joint_loss(logits, torch.full((4,), label), "none")
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss).all()
    assert (loss >= 0.0).all()
    assert logits[0].grad is not None
    assert torch.isfinite(logits[0].grad).all()


def test_a_joint_loss_keeps_its_digits_near_certainty() -> None:
    logits = [torch.tensor([12.0], requires_grad=True), torch.tensor([12.0])]
    loss = joint_loss(logits, torch.zeros(1), "mean")
    exact = torch.tensor([12.0, 12.0], dtype=torch.float64).sigmoid().prod()
    torch.testing.assert_close(loss.double(), -torch.log1p(-exact), rtol=1e-5, atol=0.0)
