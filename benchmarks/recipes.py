"""The recipes on CIFAR-10 (JPEG): accuracy and time of one trial each.

    TUNE_REAL_DATA=FOLDER python benchmarks/recipes.py     # two hours on two cores
    TUNE_REAL_DATA=FOLDER python benchmarks/recipes.py --only frozen_head
    TUNE_REAL_DATA=FOLDER python benchmarks/recipes.py --quick    # 1,000 images, one epoch

Each is `python -m tune.debug --config configs/recipes/NAME.yaml --test` on both cores and with an
empty store; the 10,000 test images are read after the last epoch. `TUNE_REAL_DATA` is a folder with
`data/cifar10-jpeg.tar.gz` and `weights/resnet18-imagenet-to-layer3.pt`, ImageNet's ResNet18 without
a layer4. Where a recipe freezes all but the head, layer4 is trained too, from random weights.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from searches import REPOSITORY, unpack, versions

WEIGHTS: Final = "model.weights=$REAL/weights/resnet18-imagenet-to-layer3.pt"
RECIPES: Final[dict[str, tuple[str, ...]]] = {
    "frozen_head": (WEIGHTS, "model.unfreeze_depth=1"),
    "features": (
        *(WEIGHTS, "model.unfreeze_depth=1", "data.image_size=112"),
        *("train.epochs=5", "train.batch_size=128"),
    ),
    "full_finetuning": (WEIGHTS, "train.epochs=4"),
    "two_cores": (WEIGHTS,),
    "from_scratch": (),
}
"""What is set in each besides the data."""

QUICK: Final = ("data.limit=1000", "data.image_size=32", "train.epochs=1")


def main() -> None:
    """Run the recipes and print a line for each, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1,000 images, one epoch")
    parser.add_argument("--only", choices=RECIPES, help="one of the recipes")
    given = parser.parse_args()
    real = os.environ.get("TUNE_REAL_DATA")
    if real is None:
        print(json.dumps({}))
        return
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        images = unpack(Path(real) / "data" / "cifar10-jpeg.tar.gz", folder)
        for name in [given.only] if given.only else RECIPES:
            words = [word.replace("$REAL", real) for word in RECIPES[name]]
            figures[name] = run(name, [*words, *(QUICK if given.quick else ())], images)
            print(f"{name:16s} {figures[name]}", flush=True)
    print(json.dumps(figures))


def run(name: str, words: list[str], images: Path) -> dict[str, float]:
    """Run a recipe; gives its seconds, and what it printed of its last epoch and the test."""
    config = str(REPOSITORY / "configs" / "recipes" / f"{name}.yaml")
    data = ["data.source=image_folder", f"data.root={images}", f"resources.cpu={os.cpu_count()}"]
    with tempfile.TemporaryDirectory() as store:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TUNE_CACHE": store}
        start, before = time.monotonic(), os.times()
        done = subprocess.run(
            [sys.executable, "-m", "tune.debug", "--config", config, "--test", *data, *words],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        seconds = time.monotonic() - start
        after = os.times()
    print(done.stdout, file=sys.stderr, flush=True)
    *_, last = re.findall(r"epoch +(\d+)/.*train_acc ([\d.]+) .*val_acc ([\d.]+)", done.stdout)
    (test,) = re.findall(r"test  accuracy ([\d.]+)%", done.stdout)
    epochs, train, val = (float(number) for number in last)
    return {
        "seconds": round(seconds),
        "processor_seconds": round(sum(after[2:4]) - sum(before[2:4])),
        "epochs": epochs,
        "train": train,
        "val": val,
        "test": round(float(test) / 100, 4),
    }


if __name__ == "__main__":
    main()
