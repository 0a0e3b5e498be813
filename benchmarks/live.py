"""Whole searches of the same wall-clock time, live: the default beside three others.

    TUNE_REAL_DATA=FOLDER python benchmarks/live.py                       # what live.jsonl lacks
    TUNE_REAL_DATA=FOLDER python benchmarks/live.py --tasks digits --seeds 2
    python benchmarks/live.py --quick                                     # digits, one seed, short

Four sides, each a command in an empty folder with an empty store, in turn for each seed:

- `ours`: a search of the preset as it comes, confirmation, soup and report included, but for a
  portfolio that was learned without the task and without what shares images with it;
- `random`: the same with random trials that none stops, and no confirmation, so no soup either;
  where ours trains its winner once more on all images (`hymenoptera`), it does too;
- `stock`: Ray's own OptunaSearch and ASHA on our trainable (`versus/stock.py`);
- `plain`: a plain Ray Tune program (`versus/plain.py`).

Four and a half hours in all: each run is a line of `live.jsonl`, with its commit and machine, and
is not run again while it stands there. A pair, two sides with one seed, is of one machine.

All start from the same weights and run a trial a core until the time is over. The first three
search the preset's space; plain searches learning rate, weight decay, depth and policy as far as
the images allow, which is what such programs search. They
are judged by the test images, which are read once, after that. Prints the test accuracy (mean and
standard deviation over the seeds), how often ours was better, and p of a paired t-test; last a
line of JSON. What a side took is printed too: a test or a report after the time is part of it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from scipy.stats import ttest_rel
from versus.material import Material, cifar10, digits, hymenoptera
from versus.sides import REPOSITORY, TUNED, settings_file

from trainable.device import available_cores, cpu_precision
from tune.config.loading import config_text

SIDES: Final = ("ours", "random", "stock", "plain")
RUNS: Final = REPOSITORY / "benchmarks" / "live.jsonl"
ENDLESS: Final = 1000
"""More trials than any side has time for."""
RANDOM: Final = {
    "sampler.name": "random",
    "sampler.points": "[{}]",  # not even the preset's own values come first
    "scheduler.name": "fifo",
    "confirm.top_k": "0",
    "strategy.portfolio": "none",
}


@dataclass(frozen=True)
class Task:
    """What is searched.

    Attributes:
        preset: Whose space it is.
        seconds: What each side has.
        policies: The augmentation policies that are searched.
        least_depth: The least unfreeze depth.
        words: Overrides of the preset.
        epochs: Of a trial.
        batch_size: Of a trial.
        warmup: Of a trial's schedule.
        mixup: Of a trial.
    """

    preset: str
    seconds: int
    policies: tuple[str, ...]
    least_depth: int = 0
    words: tuple[str, ...] = ()
    epochs: int = 6
    batch_size: int = 32
    warmup: float = 0.3
    mixup: float = 0.0

    def overrides(self, material: Material) -> list[str]:
        """The preset's values that are others here."""
        words = [*self.words, f"budget.num_samples={ENDLESS}", f"train.epochs={self.epochs}"]
        if self.preset == "digits":
            return words
        return [
            *words,
            f"train.batch_size={self.batch_size}",
            f"data.root={material.root}",
            f"data.image_size={material.image_size}",
            f"model.weights={material.weights}",
            f"model.unfreeze_depth={self.least_depth}",
            f"space.model.unfreeze_depth={{low: {self.least_depth}, high: 5}}",
        ]


ALL: Final = ("none", "flip", "flip_crop", "trivial", "rand")
TASKS: Final = {
    "digits": Task(
        "digits", 150, ("none", "flip_crop", "trivial", "rand"), 0, (), 6, 128, 0.15, 0.2
    ),
    "hymenoptera": Task("image_folder", 300, ALL, epochs=9),
    "cifar10_5000": Task("image_folder", 300, ALL, least_depth=1, batch_size=64),
}


def main() -> None:
    """Run the sides and print what they came to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RUNS, help="goes on from there")
    parser.add_argument("--quick", action="store_true", help="digits, one seed, 60 s a side")
    given = parser.parse_args()
    tasks, seeds = (["digits"], 1) if given.quick else (given.tasks, given.seeds)
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "quick.jsonl" if given.quick else given.out
        for task in tasks:
            seconds = 60 if given.quick else TASKS[task].seconds
            material = material_of(task, Path(name) / task)
            for seed in range(seeds):
                for side in lacking(read(out), task, seed, given.sides):
                    where = Path(name) / f"{task}-{seed}-{side}"
                    line = run(side, task, material, seed, seconds, where)
                    with out.open("a") as file:
                        file.write(json.dumps(line) + "\n")
                    print(json.dumps(line), flush=True)
                    shutil.rmtree(where)  # of up to 24 GB: plain keeps every checkpoint
        summary = {task: summed(read(out), task) for task in tasks}
    for task, figures in summary.items():
        print(table(task, figures))
    print(json.dumps(summary))


def material_of(task: str, folder: Path) -> Material:
    """The images and weights of a task."""
    if task == "digits":
        return digits(folder, image_size=32)
    real = Path(os.environ["TUNE_REAL_DATA"])
    if task == "hymenoptera":
        return hymenoptera(real, folder, image_size=96)
    return cifar10(real, folder, train=5000, val=1000, image_size=64, test=2000)


def run(
    side: str, task: str, material: Material, seed: int, seconds: float, folder: Path
) -> dict[str, Any]:
    """Run one side as a command of its own."""
    known = TASKS[task]
    words = [f"sampler.seed={seed}", f"train.seed={seed}"]
    if side == "ours" and known.preset != "digits":
        words.append(f"strategy.portfolio={portfolio_without(task, folder.parent)}")
    if side == "random":
        words += [f"{key}={value}" for key, value in RANDOM.items()]
    settings = plain_settings(known, material) if side == "plain" else {}
    settings |= {"seed": seed, "num_samples": ENDLESS, "config": str(folder / "config.yaml")}
    start = time.time()
    path = settings_file({**settings, "until": start + seconds}, folder)
    text = config_text(Path(known.preset), [*known.overrides(material), *words])
    (folder / "config.yaml").write_text(text)
    script = {"plain": "plain", "stock": "stock"}.get(side, "ours")
    variables = {"PYTHONPATH": str(REPOSITORY), "TUNE_CACHE": str(folder / "store")}
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "benchmarks" / "versus" / f"{script}.py"), path],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{side} on {task} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    taken = round(time.time() - start, 1)
    line = {"task": task, "seed": seed, "side": side, **found, "seconds": taken}
    return {**line, "commit": commit(), "machine": machine()}


def commit() -> str:
    """What was measured."""
    words = ["git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def machine() -> str:
    """Where: the number of cores, and how they compute."""
    kind = torch.backends.cpu.get_cpu_capability()
    return f"{available_cores()} cores, {kind}, {cpu_precision('auto')}"


def portfolio_without(task: str, folder: Path) -> Path:
    """A file with the portfolio that is learned without a task and what shares images with it."""
    script = REPOSITORY / "benchmarks" / "strategies" / "portfolio.py"
    words = [sys.executable, str(script), "--without", task]
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=True)
    path = folder / f"{task}-portfolio.yaml"
    path.write_text(done.stdout)
    return path


def plain_settings(task: Task, material: Material) -> dict[str, Any]:
    """What the plain program is told of a task."""
    return {
        **TUNED,
        "root": str(material.root),
        "weights": str(material.weights),
        "image_size": material.image_size,
        "side": material.side,
        "mirror": material.mirror,
        "policies": list(task.policies),
        "least_depth": task.least_depth,
        "epochs": task.epochs,
        "grace_epochs": 1,
        "batch_size": task.batch_size,
        "optimizer": "adamw",
        "schedule": "one_cycle",
        "warmup": task.warmup,
        "mixup": task.mixup,
        "cpus": 1,
        "workers": 2,
    }


def read(out: Path) -> list[dict[str, Any]]:
    """What has been measured."""
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def lacking(
    lines: Sequence[Mapping[str, Any]], task: str, seed: int, sides: Sequence[str]
) -> list[str]:
    """The sides that were not run yet with a seed; an exit where the others ran elsewhere."""
    there = {
        line["side"]: line["machine"]
        for line in lines
        if (line["task"], line["seed"]) == (task, seed)
    }
    left = [side for side in sides if side not in there]
    if left and there and set(there.values()) != {machine()}:
        sys.exit(f"{task}, seed {seed}: begun on another machine; remove its lines to run it here")
    return left


def summed(lines: Sequence[Mapping[str, Any]], task: str) -> dict[str, dict[str, float]]:
    """Of each side: mean and spread of the test accuracy, and p of its difference from ours."""
    scores: dict[str, dict[int, float]] = {}
    for line in lines:
        if line["task"] == task:
            scores.setdefault(line["side"], {})[line["seed"]] = line["test_acc"]
    found = {}
    for side, by_seed in scores.items():
        values = np.array(list(by_seed.values()))
        spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        found[side] = {"mean": float(values.mean()), "std": spread, "seeds": len(values)}
        shared = sorted(by_seed.keys() & scores.get("ours", {}).keys())
        if side != "ours" and len(shared) > 1:
            pairs = np.array([(scores["ours"][seed], by_seed[seed]) for seed in shared])
            found[side] |= {
                "ours_better": int((pairs[:, 0] > pairs[:, 1]).sum()),
                "pairs": len(shared),
                "p": float(ttest_rel(pairs[:, 0], pairs[:, 1]).pvalue),
            }
    return found


def table(task: str, figures: Mapping[str, Mapping[str, float]]) -> str:
    """The rows of a task in Markdown."""
    rows = [
        f"| {task} | test accuracy | spread | ours better | p |",
        "| --- | --- | --- | --- | --- |",
    ]
    for side in sorted(figures, key=SIDES.index):
        one = figures[side]
        better = f"{one['ours_better']} of {one['pairs']}" if "p" in one else ""
        p = f"{one['p']:.3f}" if "p" in one else ""
        rows.append(f"| {side} | {one['mean']:.2%} | {100 * one['std']:.2f} | {better} | {p} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
