"""The default search beside a plain Ray Tune program for the digits (`versus/plain.py`).

    python benchmarks/digits_versus_plain.py     # ten minutes
    python benchmarks/digits_versus_plain.py --quick

Both search the same space from the same weights with 20 trials of at most 6 epochs at 48 px
and ASHA, in batches of 128, two trials at once on two cores. Plain is Ray's own OptunaSearch
and MLflow callback. Ours is `python -m tune.search` with an empty store, without the confirmation
of the finalists, which plain does not have (`--confirmed` also runs it as it comes); it also tests,
registers and reports. The times are those of the whole commands.

Before them the start: seconds from the command to the first epoch's metric, in an empty folder with
an empty store, the median of three.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from searches import versions
from versus.material import digits
from versus.sides import REPOSITORY, TUTORIAL, command, settings_file


def main() -> None:
    """Run both and print what they came to, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="six trials, one start")
    parser.add_argument("--confirmed", action="store_true", help="also confirm the finalists")
    given = parser.parse_args()
    samples, starts = (6, 1) if given.quick else (20, 3)
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = [first_metric(folder / f"start-{number}") for number in range(starts)]
        print(
            "first metric after", ", ".join(f"{seconds:.1f} s" for seconds in started), flush=True
        )
        ours = search(folder / "ours", samples, "confirm.top_k=0")
        print(f"ours   {ours}", flush=True)
        plain = search_plainly(folder, samples)
        print(f"plain  {plain}", flush=True)
        confirmed = {}
        if given.confirmed:
            whole = search(folder / "whole", samples)
            print(f"ours   {whole}, finalists confirmed", flush=True)
            confirmed = {"confirmed_seconds": whole[0]}
    print(
        json.dumps(
            {
                "ours_seconds": ours[0],
                "plain_seconds": plain[0],
                "share": round(ours[0] / plain[0], 2),
                "ours_val_acc": ours[1],
                "plain_val_acc": plain[1],
                "first_metric_seconds": round(statistics.median(started), 1),
                **confirmed,
            }
        )
    )


def search(folder: Path, samples: int, *overrides: str) -> tuple[float, float]:
    """Seconds of the default search, and its best validation accuracy."""
    folder.mkdir(parents=True)
    words = ["-m", "tune.search", "--num-samples", str(samples)]
    config = ["--config", str(REPOSITORY / "configs" / "digits.yaml")]
    found = command([*words, *config, *overrides], folder, TUNE_CACHE=str(folder / "store"))
    return round(found.command_seconds, 1), round(found.best, 4)


def search_plainly(folder: Path, samples: int) -> tuple[float, float]:
    """The same of the plain program."""
    material = digits(folder / "material")
    settings = {
        **TUTORIAL,
        "root": str(material.root),
        "weights": str(material.weights),
        "image_size": material.image_size,
        "side": material.side,
        "mirror": material.mirror,
        "epochs": 6,
        "grace_epochs": 1,
        "batch_size": 128,
        "optimizer": "adamw",
        "schedule": "one_cycle",
        "warmup": 0.15,
        "mixup": 0.2,
        "cpus": 1,
        "workers": 2,
        "num_samples": samples,
    }
    target = folder / "plain"
    found = command(["benchmarks/versus/plain.py", settings_file(settings, target)], target)
    return round(found.command_seconds, 1), round(found.best, 4)


def first_metric(folder: Path) -> float:
    """Seconds from the command to the first line about a trial of one epoch."""
    folder.mkdir(parents=True)
    config = str(REPOSITORY / "configs" / "digits.yaml")
    words = ["--config", config, "--num-samples", "1", "train.epochs=1", "confirm.top_k=0"]
    variables = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONUNBUFFERED": "1",
        "TUNE_CACHE": str(folder / "store"),
    }
    start = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "tune.search", *words],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("trial "):
                seconds = time.monotonic() - start
        return seconds


if __name__ == "__main__":
    main()
