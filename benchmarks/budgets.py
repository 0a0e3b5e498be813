"""Time budgets: how long a search was asked to take, and how long its command took.

    python benchmarks/budgets.py             # 20 s to 10 minutes, a quarter of an hour in all
    python benchmarks/budgets.py --quick     # 20 s and 40 s
    python benchmarks/budgets.py --only killed

Each is `python -m tune.search --time-budget` on the digits in an empty folder with an empty store:
of the default search; of trials that no budget here is enough for (`train.epochs=500`); of a search
whose trials all pause; and of one that is killed half way through its budget and resumed. With
`TUNE_REAL_DATA`, a folder with `data/hymenoptera.tar` and `weights/`, one is of photographs in
their files, which the test reads, each and its mirror image. The wall time is the command's, from
its start to the end of its process, of a resumed search both commands'. A command that takes no
more than a tenth and 15 s longer, and has registered a model, has kept to its budget.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from mlflow import MlflowClient
from searches import REPOSITORY, versions

ENDLESS = ("train.epochs=500",)
PAUSING = ("scheduler.name=halving", "train.epochs=60", "scheduler.grace_epochs=20")
TOLERANCE, TOLERANCE_SECONDS = 0.1, 15.0


@dataclass(frozen=True)
class Budget:
    """A search with a time budget."""

    name: str
    seconds: int
    words: tuple[str, ...] = ()
    killed: bool = False
    config: str = "digits"


ALL = [
    Budget("default", 60),
    Budget("default", 120),
    Budget("500 epochs", 20, ENDLESS),
    Budget("500 epochs", 60, ENDLESS),
    Budget("halving", 40, PAUSING),
    Budget("killed half way", 60, ENDLESS, killed=True),
    Budget("default, 100 trials", 600, ("--num-samples", "100")),
]
PHOTOGRAPHS = Budget(
    "photographs",
    90,
    (
        *("data.image_size=96", "data.test_fraction=0.4", "model.unfreeze_depth=0"),
        *("predict.flips=true", "--num-samples", "500"),
    ),
    config="image_folder",
)
QUICK = [Budget("500 epochs", 20, ENDLESS), Budget("halving", 40, PAUSING)]


def main() -> None:
    """Run the searches one after the other, print a line each, and then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short ones")
    parser.add_argument("--only", default="", help="those whose name begins so")
    given = parser.parse_args()
    budgets = [b for b in (QUICK if given.quick else ALL) if b.name.startswith(given.only)]
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {versions()}", flush=True)
    real, kept = os.environ.get("TUNE_REAL_DATA"), []
    if real and not given.quick and PHOTOGRAPHS.name.startswith(given.only):
        budgets.append(PHOTOGRAPHS)
    for budget in budgets:
        with tempfile.TemporaryDirectory() as folder:
            words = budget.words
            if budget is PHOTOGRAPHS:
                words += photographs(Path(str(real)), Path(folder))
            taken, code, told = run(replace(budget, words=words), Path(folder))
            models = registered(Path(folder))
        most = budget.seconds * (1 + TOLERANCE) + TOLERANCE_SECONDS
        kept.append(code == 0 and taken <= most and models > 0)
        late = "" if kept[-1] else "  NOT KEPT" if code == 0 else f"  exit code {code}"
        print(
            f"{budget.name:20s} asked {budget.seconds:4d} s, took {taken:6.1f} s, "
            f"{models} registered{late}  {told}",
            flush=True,
        )
    print(json.dumps({"budgets": len(budgets), "kept": sum(kept)}))


def photographs(real: Path, folder: Path) -> tuple[str, ...]:
    """The words of a search of photographs, which are unpacked into a folder."""
    with tarfile.open(real / "data" / "hymenoptera.tar") as tar:
        tar.extractall(folder / "photographs", filter="data")
    (train,) = (folder / "photographs").rglob("train")
    weights = real / "weights" / "resnet18-complete.pt"
    return f"data.root={train}", f"model.weights={weights}"


def run(budget: Budget, folder: Path) -> tuple[float, int, str]:
    """The seconds that a search takes, its exit code, and what it says to be undone."""
    taken = 0.0
    words = ["--config", budget.config, "--name", "one", *budget.words]
    words += ["--time-budget", f"{budget.seconds}s"]
    if budget.killed:
        start = time.monotonic()
        process = search(words, folder)
        time.sleep(budget.seconds / 2)
        if process.poll() is not None:
            sys.exit(f"it was over before it was killed:\n{process.communicate()[0]}")
        process.kill()  # no resume line, no goodbye
        process.communicate()
        taken, words = time.monotonic() - start, ["--resume", "one"]
    start = time.monotonic()
    process = search(words, folder)
    output, _ = process.communicate()
    taken += time.monotonic() - start
    undone = re.search(r"is used up: (.*?)\. Go on", output)
    told = undone[1] if undone else output.strip().splitlines()[-1]
    return taken, process.returncode, told


def registered(folder: Path) -> int:
    """How many versions of a model a search has registered."""
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    return len(client.search_model_versions())


def search(words: list[str], folder: Path) -> subprocess.Popen[str]:
    """A search that has been started in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "tune.search", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TUNE_CACHE": str(folder / "store")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


if __name__ == "__main__":
    main()
