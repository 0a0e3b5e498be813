"""Trials side by side on one GPU, each with its share of the memory: what they train together."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.synchronize import Barrier
from typing import Any

import torch

from on_gpu.mps import can_start, mps
from on_gpu.section import Options, Part, noise, rounded, run, start, tell, trial, wait
from on_gpu.smi import memory_used
from trainable.config import TrialConfig
from trainable.device import CONTEXT_BYTES, is_out_of_memory
from trainable.finetuner import FineTuner
from trainable.rehearsal import DataShape, MemoryNeed, measure_need

EPOCH = 45_000
"""Images of a trial-epoch: CIFAR-10's, less those for validation."""
STORED_SIDE = 32
_STEPS = 20
"""Between two looks at the clock."""
_PATIENCE = 90
"""Seconds that a worker waits for the others, at most."""


@dataclass(frozen=True)
class Task:
    """What each of some workers does.

    Attributes:
        trials: How many there are.
        px: Sides of the images, one after the other.
        batch: Images a step.
        images: Of the training split.
        seconds: To train at each size.
        options: Of the section.
    """

    trials: int
    px: tuple[int, ...]
    batch: int
    images: int
    seconds: float
    options: Options

    @property
    def fraction(self) -> float | None:
        """Each worker's share of the GPU."""
        return 1 / self.trials if self.trials > 1 else None

    def config(self, px: int) -> TrialConfig:
        """The trial at a size."""
        return trial(data={"image_size": px}, train={"batch_size": self.batch})


@dataclass(frozen=True)
class Report:
    """What a worker did at a size."""

    px: int
    images: int = 0
    seconds: float = 1.0
    reserved: int = 0
    error: str | None = None
    fatal: bool = False


@dataclass
class Together:
    """What all workers did at a size."""

    reports: list[Report] = field(default_factory=list)
    used: int = 0

    def figures(self) -> dict[str, Any]:
        """The rates of all together, and the memory of each."""
        rate = sum(report.images / report.seconds for report in self.reports)
        reserved = max(report.reserved for report in self.reports)
        others = self.used - sum(report.reserved for report in self.reports)
        return {
            "img_per_s": rounded(rate),
            "trial_epochs_per_s": rounded(rate / EPOCH),
            "reserved_gb_each": rounded(reserved / 1e9),
            "cuda_own_gb_each": rounded(others / len(self.reports) / 1e9) if self.used else None,
            "errors": [report.error for report in self.reports if report.error],
        }


def main(options: Options) -> None:
    """Measure one trial alone, then many, and what `auto` takes beside the best by hand."""
    px = options.pick((32, 112, 224), (16,))
    counts = options.pick((1, 8, 4, 2), (1, 2))
    rates: dict[int, dict[int, float]] = {size: {} for size in px}
    parts = [Part(f"trials_{n}", 30, partial(side_by_side, n, px, options, rates)) for n in counts]
    if not options.cpu:
        parts.append(Part("auto", 20, partial(auto, px, options, rates)))
        if can_start():
            parts += [
                Part(f"trials_{n}_mps", 40, partial(with_mps, n, px, options, rates))
                for n in (8, 4, 2)
            ]
        else:
            tell(mps="nvidia-cuda-mps-control is not installed")
    run(options, parts)


def side_by_side(
    trials: int,
    px: tuple[int, ...],
    options: Options,
    rates: dict[int, dict[int, float]],
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """So many trials at once, at each size, each on 1/n of the GPU."""
    seconds = options.pick(5.0 if options.left > 200 else 3.0, 0.2)
    task = Task(trials, px, options.pick(128, 8), options.pick(10_000, 32), seconds, options)
    together = run_workers(task, environment or {})
    figures: dict[str, Any] = {}
    for size, found in together.items():
        figures[f"px_{size}"] = found.figures()
        if environment is None and not figures[f"px_{size}"]["errors"]:
            rates[size][trials] = figures[f"px_{size}"]["img_per_s"]
        if 1 in rates[size]:
            over = figures[f"px_{size}"]["img_per_s"] / rates[size][1]
            figures[f"px_{size}"]["over_one"] = rounded(over)
    return figures


def with_mps(
    trials: int, px: tuple[int, ...], options: Options, rates: dict[int, dict[int, float]]
) -> dict[str, Any]:
    """The same under CUDA's Multi-Process Service."""
    with mps() as environment:
        return side_by_side(trials, px, options, rates, environment)


def auto(
    px: tuple[int, ...], options: Options, rates: dict[int, dict[int, float]]
) -> dict[str, Any]:
    """How many trials `resources.gpu=auto` takes, and their rate over the best by hand."""
    task = Task(1, px, 128, 10_000, 0, options)
    figures: dict[str, Any] = {}
    for size in px:
        need = in_a_process(task, size)
        trials = min(chosen(need), os.cpu_count() or 1)
        if trials not in rates[size]:
            side_by_side(trials, (size,), options, rates)
        best = max(rates[size], key=lambda n: rates[size][n])
        figures[f"px_{size}"] = {
            "peak_gb": rounded(need.peak / 1e9),
            "chosen": trials,
            "best_by_hand": best,
            "share_of_best": rounded(rates[size][trials] / rates[size][best]),
        }
    return figures


def chosen(need: MemoryNeed) -> int:
    """As :func:`~tune.engine.fractions.trials_per_gpu`, or as it would where Ray is not there."""
    try:
        from tune.engine.fractions import trials_per_gpu  # noqa: PLC0415
    except ImportError:
        return max(1, min(8, int(need.total / (need.peak * 1.15 + CONTEXT_BYTES))))
    return trials_per_gpu(need)


def in_a_process(task: Task, px: int) -> MemoryNeed:
    """The need of a trial, measured in a process that ends with it."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=_measure, args=(task, px, results), daemon=True)
    process.start()
    need = results.get(timeout=_PATIENCE)
    process.join()
    assert isinstance(need, MemoryNeed)
    return need


def _measure(task: Task, px: int, results: multiprocessing.Queue[Any]) -> None:
    results.put(measure_need([task.config(px)], DataShape(EPOCH, 5_000, STORED_SIDE, 10)))


def run_workers(task: Task, environment: Mapping[str, str]) -> dict[int, Together]:
    """Start workers, and have them train at each size at the same time."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(task.trials), context.Queue()
    before = memory_used()
    os.environ.update(environment)
    processes = [
        context.Process(target=work, args=(task, barrier, results), daemon=True)
        for _ in range(task.trials)
    ]
    for process in processes:
        process.start()
    for name in environment:
        del os.environ[name]
    together = {size: Together() for size in task.px}
    for _ in range(task.trials * len(task.px)):
        report: Report = results.get(timeout=_PATIENCE + task.seconds)
        if report.fatal:
            raise RuntimeError(report.error)
        found = together[report.px]
        if not found.reports:
            found.used = max(0, memory_used() - before)
        found.reports.append(report)
    for process in processes:
        process.join(timeout=_PATIENCE)
    return together


def work(task: Task, barrier: Barrier, results: multiprocessing.Queue[Report]) -> None:
    """A worker: trains at each size, beginning when all have warmed up."""
    for px in task.px:
        try:
            report = _train(task, px, barrier)
            barrier.wait(_PATIENCE)  # until all have stopped, and hold their memory
        except BaseException as error:
            results.put(Report(px, error=f"{type(error).__name__}: {error}", fatal=True))
            barrier.abort()
            raise
        results.put(report)
        time.sleep(1)  # in which that memory is looked at
        torch.cuda.empty_cache()


def _train(task: Task, px: int, barrier: Barrier) -> Report:
    device = task.options.device("bf16", task.fraction)
    if device.is_gpu:
        torch.cuda.reset_peak_memory_stats()
    try:
        tuner = FineTuner(task.config(px), device, dataset=noise(task.images, STORED_SIDE))
        tuner.rehearse(task.options.pick(10, 1))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        barrier.wait(_PATIENCE)
        return Report(px, error=str(error).splitlines()[0][:200])
    wait(device)
    barrier.wait(_PATIENCE)
    begin, steps = time.monotonic(), 0
    while time.monotonic() - begin < task.seconds:
        tuner.rehearse(_STEPS)
        wait(device)
        steps += _STEPS
    seconds = time.monotonic() - begin
    reserved = torch.cuda.max_memory_reserved() if device.is_gpu else 0
    return Report(px, steps * task.batch, seconds, reserved)


if __name__ == "__main__":
    main(start())
