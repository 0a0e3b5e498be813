"""Records learning curves of random configs, for strategies to be replayed on.

    TUNE_REAL_DATA=FOLDER python benchmarks/strategies/record.py --configs 200
    python benchmarks/strategies/record.py digits --configs 4      # a look, two minutes
    python benchmarks/strategies/record.py --again 4               # the best under more seeds
    python benchmarks/strategies/record.py --folds                 # the best on folds and refitted

The configs are drawn at random, others for each task. Each is trained to its end, once for each of
`tasks.LENGTHS` epochs and under a seed of its own, by `FineTuner` as a search runs it, on one core
and with the store of activations, and `--processes` at once. Nothing is stopped early. A record is
a line of JSON in `TASK.jsonl`; what is there is not computed again, so that the recording may be
interrupted. Runs on folds, where there are few validation images, refits to all images and soups
are in a folder of their own, `folds`. `pack.py` compresses them.

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
from typing import Any, Final, NamedTuple

import optuna
from rows import FOLDED, images_of, read
from tasks import LENGTHS, TASKS
from training import trained

from trainable.base.folds import ALL
from trainable.seeding import seed_of
from tune.config.schema import SearchConfig
from tune.strategy.folds import FOLD, FOLDS, SMALL, fold_names
from tune.strategy.samplers import RepeatableSampler
from tune.study.distributions import distributions, suggest

REAL: Final = Path(os.environ.get("TUNE_REAL_DATA", "TUNE_REAL_DATA is not set"))


class Job(NamedTuple):
    """A run that is recorded.

    Attributes:
        task: What it is trained on.
        number: Its config's.
        length: The epochs that it is trained for.
        again: How often the config was before: 0 but for the best, which are recorded again.
        fold: Which images it is trained on, if not those of the training split: of a fold, or all.
            Or it is a soup of several runs.
    """

    task: str
    number: int
    length: int
    again: int = 0
    fold: str = ""


SOUP: Final = "soup"
"""Instead of a fold's name: several runs of a config, mixed."""
BEST: Final = 8
"""The configs of a task that are recorded again, the best: their noise decides who is chosen."""


def main() -> None:
    """Record what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(TASKS)}")
    parser.add_argument("--configs", type=int, default=200)
    parser.add_argument("--again", type=int, default=0, help="the best, under so many more seeds")
    parser.add_argument("--folds", action="store_true", help="the best on folds, and refitted")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=Path("curves"))
    parser.add_argument("--minutes", type=float, default=math.inf, help="start none after these")
    given = parser.parse_args()
    (given.out / FOLDED).mkdir(parents=True, exist_ok=True)
    until = time.time() + 60 * given.minutes
    recorded = [name for name in TASKS if (given.out / f"{name}.jsonl").exists()]
    names = given.tasks or (recorded if given.again or given.folds else list(TASKS))
    for name in names:  # before the processes would unpack them side by side
        TASKS[name].unpack(_folder(name, given.out), REAL)
    # Config by config, so that an interrupted recording has as many of each task.
    numbered = product(range(given.configs), names, LENGTHS)
    jobs: Iterator[Job] = (Job(name, number, length) for number, name, length in numbered)
    if given.again:
        jobs = _again(names, given.again, given.out)
    if given.folds:
        jobs = _on_folds(names, given.out)
    context = multiprocessing.get_context("spawn")
    with context.Pool(given.processes, initializer=_quietly, maxtasksperchild=100) as pool:
        work = ((job, given.out, until) for job in _missing(jobs, given.out))
        for line in filter(None, pool.imap_unordered(_record, work)):
            task, folder = line["task"], FOLDED if "fold" in line else ""
            with (given.out / folder / f"{task}.jsonl").open("a") as file:
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


def _missing(jobs: Iterator[Job], out: Path) -> Iterator[Job]:
    """The jobs that no file has."""
    known = set()
    for path in (*out.glob("*.jsonl"), *(out / FOLDED).glob("*.jsonl")):
        for record in read(path):
            known.add(Job(**{key: record[key] for key in Job._fields if key in record}))
    return (job for job in jobs if job not in known)


def _again(names: Sequence[str], count: int, out: Path) -> Iterator[Job]:
    """The best configs of each task, under other seeds than before."""
    best = {name: _best(name, out) for name in names}
    for again, place, name in product(range(1, count + 1), range(BEST), names):
        if place < len(best[name]):
            yield Job(name, best[name][place], max(LENGTHS), again)


def _on_folds(names: Sequence[str], out: Path) -> Iterator[Job]:
    """The same on all images but those of the test, and mixed; on folds where a search may."""
    for name in names:
        few = images_of(read(out / f"{name}.jsonl"), "val_acc") < SMALL
        for fold, number in product(fold_names(FOLDS) if few else (), _best(name, out)):
            yield Job(name, number, max(LENGTHS), fold=fold)
        for what, number in product((ALL, SOUP), _best(name, out)):
            yield Job(name, number, max(LENGTHS), fold=what)


def _best(name: str, out: Path) -> list[int]:
    """The numbers of a task's best configs by validation accuracy, the best first."""
    score = {
        each["number"]: max((epoch["val_acc"] for epoch in each["epochs"]), default=0.0)
        for each in read(out / f"{name}.jsonl")
        if each["length"] == max(LENGTHS) and not each.get("again")
    }
    return sorted(score, key=lambda number: -score[number])[:BEST]


def _record(work: tuple[Job, Path, float]) -> dict[str, Any] | None:
    job, out, until = work
    if time.time() > until:
        return None
    task, number, length, again, fold = job
    config = config_of(task, out)
    params = proposal(task, number, config)
    varied = [each for each in (again, fold) if each]
    seed = seed_of("curve", task, number, length, *varied, num_bytes=3)
    images = {FOLD: fold} if fold and fold != SOUP else {}
    start = time.process_time()
    trial = config.trial({**params, **images, "train.epochs": length, "train.seed": seed})
    epochs, error, others = trained(trial, config.runtime(), is_soup=fold == SOUP)
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
        **{key: float(f"{value:.5g}") for key, value in others.items()},
        **({"again": again} if again else {}),
        **({"fold": fold} if fold else {}),
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
