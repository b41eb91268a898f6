"""Training: fit -> run_epoch -> train_step, on rows in memory or mapped, by row numbers."""

import hashlib
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from model.config.defaults import batch_size_for
from model.config.run import TrainConfig
from model.errors import TrainError
from model.mmoe import count_parameters
from model.network.model import Model
from model.schema import Dataset, Origin
from model.training.batches import Batches
from model.training.biases import start_biases
from model.training.embeddings import LazyAdam, lazy_updates
from model.training.losses import TaskLosses
from model.training.order import RowOrder
from model.training.progress import EpochRecord, History, ProgressBar, Watcher
from model.training.ranks import Ranks
from model.training.state import RunContext, RunState, load_checkpoint, save_checkpoint
from model.training.validation import monitored, validate

RANKS_APART = 7_919
"""Distance between the seeds of two ranks' dropout."""


def fit(
    model: Model,
    dataset: Dataset,
    config: TrainConfig,
    checkpoint: Path | None = None,
    watcher: Watcher | None = None,
    buffer_rows: int | None = None,
    ranks: Ranks | None = None,
    origin: Origin | None = None,
) -> History:
    """Train until the last epoch or until patience ends, and leave the best weights in the model.

    The seed decides row order and dropout; on a CPU two runs of the same seed end bit for bit
    alike (those of a large network: with the same number of threads), and so does a run that was
    interrupted at any moment and resumed.

    Args:
        model: with the weights to start from; moved to the device and left in evaluation mode.
        dataset: whose training rows teach, and whose validation rows choose.
        config: the section `train`.
        checkpoint: file to resume from if it is there, and to keep the state in after every epoch
            and every `checkpoint_every_s`. It stays when the run has ended: whoever uses the
            result removes it.
        watcher: hears of every step and epoch; a progress bar on standard error by default.
        buffer_rows: training rows that are shuffled together; all of them by default
            (model/training/order.py).
        ranks: this process among those that train together: all of them call this alike and get
            the same weights, the first one also checkpoints and a history. The result is that of
            one process up to rounding, dropout aside, which each rank draws by itself.
        origin: the version that the model's weights are of. They are kept unless an epoch is
            better.

    Raises:
        TrainError: one sentence, if the run cannot start, resume or go on.
    """
    config = config.model_copy(update={"batch_size": batch_size_for(config, len(dataset.train))})
    if not config.epochs and origin is None:
        raise TrainError("train.epochs is 0, which leaves nothing to do but with --from; give 1 or more")
    ranks = ranks or Ranks()
    device = pick_device(config.device, ranks)
    model.to(device)
    train, validation = (Batches(rows, dataset.tasks, device) for rows in (dataset.train, dataset.validation))
    counts = model.encoder.count_codes(dataset.train)
    watcher = watcher or (ProgressBar(config.epochs, len(dataset.train)) if ranks.first else Watcher())
    buffer_rows = min(buffer_rows or len(train), len(train))
    identity = identity_of(model, dataset, config, buffer_rows, origin)
    context = RunContext(dataset, config, train, validation, counts, buffer_rows, watcher, checkpoint, identity, ranks)
    threads = threads_for(model, config.batch_size)
    with cpu_threads(threads), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed + ranks.rank * RANKS_APART)
        lazy = lazy_updates(model.encoder.embedding, config.embedding_updates, config.weight_decay)
        with lazy.watch() if lazy is not None else nullcontext():
            run = start(model, context, device, lazy, origin)
            while run.epoch < config.epochs and not out_of_patience(run, config):
                run_epoch(run, context)
    if ranks.first:
        model.load_state_dict(run.best_state)
    ranks.take_over(model.state_dict().values())
    model.eval()
    stopped_early = run.epoch < config.epochs
    return History(run.records, run.best_epoch, config.monitor, stopped_early, device.type, run.seconds, origin)


def pick_device(wanted: str, ranks: Ranks | None = None) -> torch.device:
    """Choose where to train; "auto" takes a GPU if torch finds one, each rank its own."""
    found = torch.cuda.is_available()
    if wanted == "cuda" and not found:
        raise TrainError("train.device is 'cuda', but torch finds no GPU here; set it to 'auto' or 'cpu'")
    if not found or wanted == "cpu":
        return torch.device("cpu")
    return torch.device("cuda") if ranks is None or ranks.world == 1 else torch.device("cuda", ranks.local)


def threads_for(model: Model, batch_size: int) -> int:
    """Choose how many CPU threads a step is worth: one, below 100 million multiplications.

    A second thread gains little there (a fifth, measured with the census network), and on a busy
    machine threads that wait for each other in every small operation made the same run thirty
    times slower.
    """
    return 1 if batch_size * count_parameters(model.network) < 100_000_000 else torch.get_num_threads()


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def identity_of(
    model: Model, dataset: Dataset, config: TrainConfig, buffer_rows: int, origin: Origin | None
) -> dict[str, str]:
    """Describe a run's identity.

    Whatever changes the result and cannot change between interruption and resumption.
    """
    digest = hashlib.sha256(repr((model, model.tasks)).encode())
    for name, value in model.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)}".encode())
    for buffer in model.buffers():
        digest.update(buffer.cpu().numpy().tobytes())
    rows = f"{len(dataset.train)}+{len(dataset.validation)} rows of {dataset.digest}"
    free = {"device", "checkpoint_every_s"}
    settings = {f"train.{key}": str(value) for key, value in config.model_dump(exclude=free).items()}
    settings["data.buffer_rows"] = "all rows" if buffer_rows >= len(dataset.train) else str(buffer_rows)
    begins = "none" if origin is None else f"{origin.version} ({origin.digest})"
    return {**settings, "the version of --from": begins, "the data": rows, "the model": digest.hexdigest()[:12]}


def start(
    model: Model, context: RunContext, device: torch.device, lazy: LazyAdam | None, origin: Origin | None
) -> RunState:
    """Begin a run, or go on with the one in the checkpoint, all ranks alike.

    Raises:
        TrainError: also, if this rank's run is another than that of the first one.
    """
    ranks = context.ranks
    if (first := ranks.agree(context.identity)) != context.identity:
        apart = ", ".join(key for key in first if first[key] != context.identity.get(key))
        raise TrainError(f"rank {ranks.rank} is about another run than rank 0: {apart} differ; start all alike")
    losses = TaskLosses(model.tasks, context.config.task_weighting).to(device)
    optimizer = make_optimizer([model, losses], context.config)
    run = RunState(model, losses, optimizer, torch.zeros((), dtype=torch.float64, device=device), lazy)
    path = context.checkpoint if ranks.first else None
    state = ranks.copy_of(load_checkpoint(path, context.identity) if path is not None else None)
    if state is not None:
        run.restore(state)
        if not ranks.first:  # the state's generator is that of the first
            done = run.epoch * context.steps + run.step
            torch.manual_seed(context.config.seed + ranks.rank * RANKS_APART + done)
    elif origin is None:
        start_biases(model, context.dataset.train)
    elif ranks.first:
        record = validate(run, context, 0.0)
        keep_if_best(run, monitored(record, context), 0)
        context.watcher.start(record)
    ranks.agree(0)  # however long the first has validated
    ranks.take_over(model.state_dict().values())
    if state is None and context.config.average_steps:
        run.begin_averages()
    return run


def make_optimizer(modules: Sequence[nn.Module], config: TrainConfig) -> torch.optim.Optimizer:
    """Make AdamW; weights decay, biases and learned task weights do not.

    A table with lazy updates, which takes no gradient, is left out.
    """
    named = [(name, p) for module in modules for name, p in module.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in named if name.endswith("weight")], "weight_decay": config.weight_decay},
        {"params": [p for name, p in named if not name.endswith("weight")], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def run_epoch(run: RunState, context: RunContext) -> None:
    """Run the epoch's remaining steps and validate; keep the weights if they are the best."""
    config, rows = context.config, len(context.dataset.train)
    order = RowOrder(rows, context.buffer_rows, config.seed, run.epoch)
    began = saved = time.perf_counter()
    earlier = run.epoch_seconds
    run.learner.train()
    for batch in order.batches(config.batch_size, first=run.step):
        run.loss_sum += len(batch) * train_step(run, context, batch, learning_rate(run, context))
        run.step += 1
        now = time.perf_counter()
        run.epoch_seconds = earlier + now - began
        if now - saved >= config.checkpoint_every_s:
            save(run, context)
            saved = time.perf_counter()
        context.watcher.step(run.epoch + 1, min(rows, run.step * config.batch_size), run.loss_sum)
    finish_epoch(run, context)
    save(run, context)


def learning_rate(run: RunState, context: RunContext) -> float:
    """Return the learning rate by the schedule.

    Constant, or half a cosine down to zero at the end of the last epoch.
    """
    if context.config.schedule == "constant":
        return context.config.learning_rate
    done = (run.epoch * context.steps + run.step) / (context.config.epochs * context.steps)
    return context.config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))


def train_step(run: RunState, context: RunContext, rows: Tensor, rate: float) -> Tensor:
    """Take an optimizer step on the batch of some row numbers, this rank on its part of it.

    Returns the batch's loss, tasks summed with their given weights.
    """
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.optimizer.zero_grad(set_to_none=True)
    per_task = backward(run, context, rows) if context.ranks.world == 1 else backward_together(run, context, rows)
    run.optimizer.step()
    if run.lazy is not None:
        run.lazy.update(rate)
    if context.config.average_steps:
        run.average(run.epoch * context.steps + run.step, context.config.average_steps)
    return run.losses.total(per_task)


def backward(run: RunState, context: RunContext, rows: Tensor) -> Tensor:
    """Compute the gradients of a batch; returns each task's mean loss, (T,)."""
    batch = context.train.take(rows)
    per_task = run.losses.per_task(run.learner(batch.inputs).outputs, batch.targets)
    run.losses.objective(per_task, batch.targets).backward()  # type: ignore[no-untyped-call]
    return per_task.detach()


def backward_together(run: RunState, context: RunContext, rows: Tensor) -> Tensor:
    """Compute the gradients of a batch whose parts the ranks have; otherwise as `backward`.

    Each rank divides its sums of losses by the labelled rows of the whole batch, whose labels it
    reads, so that losses and gradients of all ranks sum to those of the batch.
    """
    ranks, lazy, whole = context.ranks, run.lazy, context.train.labels(rows)
    own = rows[ranks.part(len(rows))]
    batch = context.train.take(own if len(own) else rows[:1])
    per_task = run.losses.per_task(run.learner(batch.inputs).outputs, batch.targets, whole.totals())
    per_task = per_task if len(own) else per_task * 0.0  # fewer rows than ranks: a row of another one
    run.losses.objective(per_task, whole, 1.0 / ranks.world).backward()  # type: ignore[no-untyped-call]
    parameters = [p for group in run.optimizer.param_groups for p in group["params"] if p.grad is not None]
    touched = 0 if lazy is None else lazy.collect()
    gradients = [p.grad for p in parameters if p.grad is not None]
    *sums, per_task, sizes = ranks.add([*gradients, per_task.detach(), ranks.sizes(touched, per_task.device)])
    for parameter, gradient in zip(parameters, sums, strict=True):
        parameter.grad = gradient
    if lazy is not None:
        lazy.exchange(lambda codes, gradients: ranks.gather(codes, gradients, sizes))
    return per_task


def finish_epoch(run: RunState, context: RunContext) -> None:
    """Validate and record the epoch, on the first rank; all go on with what it found.

    Keeps a copy of the weights if the monitor has improved.
    """
    with run.averaged():
        run.model.encoder.average_unseen(context.code_counts)
        record = measured_epoch(run, context) if context.ranks.first else None
    if record is not None:
        best = run.best_epoch == run.epoch + 1
        context.ranks.agree(run.best_epoch)
        context.watcher.epoch(record, best)
    else:
        run.best_epoch = context.ranks.agree(0)
    run.epoch += 1
    run.step, run.epoch_seconds = 0, 0.0
    run.loss_sum = torch.zeros_like(run.loss_sum)


def measured_epoch(run: RunState, context: RunContext) -> EpochRecord:
    """Validate the epoch that has ended, record it, and keep the weights if they are the best."""
    train_loss = run.loss_sum.item() / len(context.dataset.train)
    began = time.perf_counter()
    record = validate(run, context, train_loss)
    value = monitored(record, context)
    run.records.append(record)
    run.seconds += run.epoch_seconds + time.perf_counter() - began
    keep_if_best(run, value, run.epoch + 1)
    return record


def keep_if_best(run: RunState, value: float, epoch: int) -> None:
    """Keep the weights as they are after an epoch, if the monitor's value is the best so far."""
    if not run.best_state or value > run.best_value:
        run.best_value, run.best_epoch = value, epoch
        run.keep_weights()


def out_of_patience(run: RunState, config: TrainConfig) -> bool:
    """Check whether the monitor has stood still for `patience` epochs; 0 waits for ever."""
    return config.patience > 0 and run.epoch - run.best_epoch >= config.patience


def save(run: RunState, context: RunContext) -> None:
    """Write the checkpoint, if there is to be one."""
    if context.checkpoint is not None and context.ranks.first:
        save_checkpoint(context.checkpoint, {"identity": context.identity, **run.state()})
