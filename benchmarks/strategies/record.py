"""Records learning curves of random configs, for strategies to be replayed on.

    TUNE_REAL_DATA=FOLDER python benchmarks/strategies/record.py --configs 200
    python benchmarks/strategies/record.py digits --configs 4      # a look, two minutes
    python benchmarks/strategies/record.py --again 4               # the best under more seeds

The configs are drawn at random, others for each task. Each is trained to its end, once for each of
`tasks.LENGTHS` epochs and under a seed of its own, by `FineTuner` as a search runs it, on one core
and with the store of activations, and `--processes` at once. Nothing is stopped early. A record is
a line of JSON in `TASK.jsonl`; what is there is not computed again, so that the recording may be
interrupted. `pack.py` compresses them.

Of each epoch there are the metrics of training and validation, `test_acc` and `test_loss` where
the epoch is the best so far (by the rule of a search), `seconds`, and `prepare_seconds`, in which
its view came from the store or was computed. Seconds are of processor time: other work on the
machine does not count.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final

import optuna
from tasks import LENGTHS, TASKS

from trainable.config import TrialConfig
from trainable.finetuner import DivergedError, FineTuner
from trainable.seeding import seed_of
from tune.config.schema import SearchConfig
from tune.strategy.samplers import RepeatableSampler
from tune.study.distributions import distributions, suggest

REAL: Final = Path(os.environ.get("TUNE_REAL_DATA", "TUNE_REAL_DATA is not set"))

Job = tuple[str, int, int, int]
"""A task, the number of a config, the epochs that it is trained for, and how often it was before:
0 but for what `--again` records."""

BEST: Final = 8
"""The configs of a task that are recorded again, the best: their noise decides who is chosen."""


def main() -> None:
    """Record what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(TASKS)}")
    parser.add_argument("--configs", type=int, default=200)
    parser.add_argument("--again", type=int, default=0, help="the best, under so many more seeds")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=Path("curves"))
    parser.add_argument("--minutes", type=float, default=math.inf, help="start none after these")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    until = time.time() + 60 * given.minutes
    names = given.tasks or list(TASKS)
    for name in names:  # before the processes would unpack them side by side
        TASKS[name].unpack(_folder(name, given.out), REAL)
    # Config by config, so that an interrupted recording has as many of each task.
    numbered = product(range(given.configs), names, LENGTHS)
    jobs: Iterator[Job] = ((name, number, length, 0) for number, name, length in numbered)
    if given.again:
        jobs = _again(names, given.again, given.out)
    context = multiprocessing.get_context("spawn")
    with context.Pool(given.processes, initializer=_quietly, maxtasksperchild=100) as pool:
        work = ((job, given.out, until) for job in _missing(jobs, given.out))
        for line in filter(None, pool.imap_unordered(_record, work)):
            task = line["task"]
            with (given.out / f"{task}.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
            best = max((epoch["val_acc"] for epoch in line["epochs"]), default=math.nan)
            print(f"{task} {line['number']} {line['length']}: {best:.4f}", flush=True)


def config_of(task: str, out: Path) -> SearchConfig:
    """The search whose trials are recorded."""
    return TASKS[task].config(_folder(task, out), REAL)


def _folder(task: str, out: Path) -> Path:
    return out.resolve() / "data" / task


def proposal(task: str, number: int, config: SearchConfig) -> dict[str, Any]:
    """The random config of a task that has a number."""
    seed = seed_of("configs", task, num_bytes=3)
    sampler = RepeatableSampler(config.sampler.model_copy(update={"seed": seed}))
    study = optuna.create_study(sampler=sampler)
    for _ in range(number):  # a sampler draws by the trial's number
        study.ask()
    trial = study.ask()
    for key, distribution in distributions(config.space).items():
        suggest(trial, key, distribution)
    return dict(trial.params)


def curve(config: SearchConfig, trial: TrialConfig) -> tuple[list[dict[str, float]], str | None]:
    """Train a trial to its end; its epochs, and why it has no more of them."""
    epochs: list[dict[str, float]] = []
    tuner = FineTuner.on(config.runtime(), trial)
    best = (-math.inf, -math.inf)
    while not tuner.finished:
        start = time.process_time()
        tuner.inputs.set_epoch(tuner.epoch)
        tuner.inputs.of("val")
        ready = time.process_time()
        try:
            metrics = tuner.train_epoch()
        except DivergedError as error:
            return epochs, str(error)
        del metrics["epoch_seconds"]
        end = time.process_time()
        epochs.append({**metrics, "prepare_seconds": ready - start, "seconds": end - ready})
        if (rank := tuner.objective.rank(metrics)) > best:
            best = rank
            test = tuner.evaluate("test")
            epochs[-1] |= {"test_acc": test.accuracy, "test_loss": test.loss}
    return epochs, None


def _missing(jobs: Iterator[Job], out: Path) -> Iterator[Job]:
    """The jobs that no file has."""
    known = set()
    for path in out.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            known.add((record["task"], record["number"], record["length"], record.get("again", 0)))
    return (job for job in jobs if job not in known)


def _again(names: Sequence[str], count: int, out: Path) -> Iterator[Job]:
    """The best configs of each task, under other seeds than before."""
    best: dict[str, list[int]] = {}
    for name in names:
        lines = (out / f"{name}.jsonl").read_text().splitlines()
        full = [each for each in map(json.loads, lines) if each["length"] == max(LENGTHS)]
        score = {
            each["number"]: max((epoch["val_acc"] for epoch in each["epochs"]), default=0.0)
            for each in full
            if not each.get("again")
        }
        best[name] = sorted(score, key=lambda number: -score[number])[:BEST]
    for again, place, name in product(range(1, count + 1), range(BEST), names):
        if place < len(best[name]):
            yield name, best[name][place], max(LENGTHS), again


def _record(work: tuple[Job, Path, float]) -> dict[str, Any] | None:
    (task, number, length, again), out, until = work
    if time.time() > until:
        return None
    config = config_of(task, out)
    params = proposal(task, number, config)
    seed = seed_of("curve", task, number, length, *([again] if again else []), num_bytes=3)
    start = time.process_time()
    epochs, error = curve(
        config, config.trial({**params, "train.epochs": length, "train.seed": seed})
    )
    return {
        "task": task,
        "number": number,
        "length": length,
        "params": params,
        "seed": seed,
        "commit": _commit(),
        "total_seconds": round(time.process_time() - start, 3),
        "epochs": [{key: float(f"{value:.5g}") for key, value in e.items()} for e in epochs],
        "error": error,
        **({"again": again} if again else {}),
    }


def _commit() -> str:
    words = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def _quietly() -> None:
    import torch  # noqa: PLC0415 - each process sets its own threads

    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)


if __name__ == "__main__":
    main()
