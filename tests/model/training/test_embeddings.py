"""Lazy updates equal a reference written here, and a run with them resumes and learns."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model.errors import TrainError
from model.network.model import build_model, predict
from model.network.table import EmbeddingTable
from model.schema import CategoricalFeature, Dataset, FeatureSchema, Rows, Task
from model.training.embeddings import LAZY_ROWS, LazyAdam, lazy_updates
from model.training.metrics import evaluate
from model.training.progress import Watcher
from model.training.train import fit
from tests.support import every_kind
from tests.support.training import PLAIN, facts, same, settings, trained

ROWS, WIDTH, RATE, DECAY = 12, 3, 0.05, 0.1


def batches(steps: int) -> list[torch.Tensor]:
    """Draw codes of batches, some of them twice, most rows of the table in none."""
    random = np.random.default_rng(0)
    return [torch.from_numpy(random.integers(0, ROWS - 3, random.integers(1, 9))) for _ in range(steps)]


def loss(embedded: torch.Tensor) -> torch.Tensor:
    places = torch.arange(1.0, embedded.numel() + 1.0).view_as(embedded)
    return (embedded.sin() * places).square().sum()


def lazily(weight: torch.Tensor, codes: list[torch.Tensor]) -> torch.Tensor:
    table = EmbeddingTable(ROWS, WIDTH)
    table.load_state_dict({"weight": weight})
    lazy = LazyAdam(table, DECAY)
    with lazy.watch():
        for batch in codes:
            half = len(batch) // 2  # two lookups, as of two features
            loss(torch.cat([table(batch[:half]), table(batch[half:])])).backward()  # type: ignore[no-untyped-call]
            lazy.update(RATE)
    assert table.weight.requires_grad
    return table.weight.detach()


def reference(weight: torch.Tensor, codes: list[torch.Tensor]) -> torch.Tensor:
    """Update row by row in float64; torch's autograd alone gives the gradient."""
    rows = weight.double().clone().requires_grad_()
    first, second = np.zeros((ROWS, WIDTH)), np.zeros((ROWS, WIDTH))
    for step, batch in enumerate(codes, start=1):
        (gradient,) = torch.autograd.grad(loss(rows[batch]), rows)
        for row in set(batch.tolist()):
            g = gradient[row].numpy()
            first[row] = 0.9 * first[row] + 0.1 * g
            second[row] = 0.999 * second[row] + 0.001 * g * g
            corrected = first[row] / (1 - 0.9**step), second[row] / (1 - 0.999**step)
            moved = rows.detach()[row] * (1 - RATE * DECAY)
            rows.detach()[row] = moved - torch.from_numpy(RATE * corrected[0] / (np.sqrt(corrected[1]) + 1e-8))
    return rows.detach().float()


def test_rows_of_a_batch_are_updated_as_by_the_reference_and_others_stay() -> None:
    weight, codes = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(0)), batches(20)
    found = lazily(weight, codes)
    torch.testing.assert_close(found, reference(weight, codes), rtol=1e-4, atol=1e-5)
    untouched = sorted(set(range(ROWS)) - set(torch.cat(codes).tolist()))
    assert len(untouched) >= 3
    assert torch.equal(found[untouched], weight[untouched])


def test_batches_that_hold_every_row_are_updated_as_by_adamw() -> None:
    weight = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(0))
    codes = [torch.cat([torch.arange(ROWS), batch]) for batch in batches(20)]
    dense = weight.clone().requires_grad_()
    optimizer = torch.optim.AdamW([dense], lr=RATE, weight_decay=DECAY)
    for batch in codes:
        optimizer.zero_grad()
        loss(dense[batch]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    torch.testing.assert_close(lazily(weight, codes), dense.detach(), rtol=1e-4, atol=1e-5)


def test_a_lookup_that_does_not_enter_the_loss_has_no_gradient() -> None:
    table = EmbeddingTable(ROWS, WIDTH)
    lazy = LazyAdam(table)
    with lazy.watch():
        used, _ = table(torch.tensor([4, 4])), table(torch.tensor([5]))
        used.sum().backward()
        assert lazy.collect() == 2
        with torch.no_grad():
            table(torch.tensor([6]))  # not part of training
    assert lazy.collected is not None
    codes, gradients = lazy.collected
    found = dict(zip(codes.tolist(), gradients.tolist(), strict=True))
    assert found == {4: [2.0] * WIDTH, 5: [0.0] * WIDTH}


@pytest.mark.parametrize(
    ("updates", "rows", "lazy"),
    [("auto", LAZY_ROWS, False), ("auto", LAZY_ROWS + 1, True), ("dense", LAZY_ROWS + 1, False), ("lazy", 2, True)],
)
def test_large_tables_are_updated_lazily_unless_told_otherwise(updates: str, rows: int, lazy: bool) -> None:
    assert (lazy_updates(EmbeddingTable(rows, 1), updates, 0.0) is not None) == lazy
    assert lazy_updates(None, updates, 0.0) is None


@pytest.mark.parametrize("architecture", ["mmoe", "single_task"])
def test_a_run_with_lazy_updates_resumes_bit_for_bit(dataset: Dataset, tmp_path: Path, architecture: str) -> None:
    config = settings(embedding_updates="lazy", checkpoint_every_s=0.0, weight_decay=0.1)
    model = PLAIN.model_copy(update={"architecture": architecture})
    for stop in (4, 5):
        with pytest.raises(KeyboardInterrupt):
            trained(dataset, config, model, tmp_path / "run.pt", stop)
    (resumed, one), (whole, two) = trained(dataset, config, model, tmp_path / "run.pt"), trained(dataset, config, model)
    assert same(resumed, whole)
    assert facts(one) == facts(two)
    assert resumed.encoder.embedding is not None
    assert resumed.encoder.embedding.weight.requires_grad


def test_every_kind_of_text_feature_is_updated() -> None:
    """Hashed ids, bags and shared tables: every row that training uses has moved."""
    dataset = every_kind.make_dataset()
    model = build_model(dataset.features, dataset.tasks, PLAIN, 0)
    table = model.encoder.embedding
    assert table is not None
    before = table.weight.detach().clone()
    fit(model, dataset, settings(epochs=1, embedding_updates="lazy"), watcher=Watcher())
    moved = (table.weight != before).any(dim=1)
    counted = model.encoder.count_codes(dataset.train) > 0
    assert moved[counted].all()
    states = [trained(dataset, settings(embedding_updates="lazy"), PLAIN)[0] for _ in range(2)]
    assert same(*states)


def test_a_checkpoint_of_other_updates_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    trained(dataset, settings(epochs=1, embedding_updates="lazy"), checkpoint=path)
    with pytest.raises(TrainError, match=r"train\.embedding_updates was lazy and is dense"):
        trained(dataset, settings(epochs=1, embedding_updates="dense"), checkpoint=path)


def test_many_ids_are_learned_as_by_dense_updates() -> None:
    """Sold depends on the id alone; each of 400 is met about 20 times."""
    random = np.random.default_rng(0)
    taste = random.random(400) < 0.5
    feature = CategoricalFeature("id", tuple(f"id {n}" for n in range(400)))
    tasks = (Task("sold", "binary", ("no", "yes")),)

    def rows(count: int) -> Rows:
        ids = random.integers(0, 400, count)
        empty = np.empty((count, 0))
        labels = taste[ids].astype(np.float64)[:, None]
        return Rows(empty.astype(np.float32), ids[:, None] + 2, labels, empty.astype(object))

    schema = FeatureSchema(categorical=(feature,))
    dataset = Dataset(schema, tasks, rows(8_000), rows(2_000), rows(2_000), source="made", digest="sha256:0")
    auc = []
    for updates in ("dense", "lazy"):
        model, _ = trained(dataset, settings(epochs=4, embedding_updates=updates), PLAIN)
        auc.append(evaluate(predict(model, dataset.test), dataset.test, tasks)["sold"]["auc"])
    assert min(auc) > 0.97
