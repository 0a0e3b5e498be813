"""Searches on tables of real images: ants and bees with groups, and pictures with two labels.

    TUNE_REAL_DATA=FOLDER python benchmarks/tables.py            # 23 minutes on two cores
    TUNE_REAL_DATA=FOLDER python benchmarks/tables.py --quick    # four trials each
    TUNE_REAL_DATA=FOLDER python benchmarks/tables.py --only pairs

`TUNE_REAL_DATA` is a folder that holds `data/` and `weights/`.

- *groups*: `labels.csv` of the ants and bees, with their splits left out and a column `group`:
  photographs whose numbers differ in the last five digits alone, which came to their site close to
  each other, are of one group, which stays in one split. `torn` counts the groups of which the
  search's own split has images on two sides: none may be. Beside it the same images and seeds
  without the column.
- *pairs*: two images of CIFAR-10 (JPEG) of two classes side by side, 3,000 to train and validate,
  1,000 to test, each with both labels. `chance` is the mean average precision of a model that says
  the same of every picture: the share of pictures that have a label, which is one in five.

Test figures are those of the model that each search registers.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image
from searches import REPOSITORY, result, unpack, versions

from trainable.config import DataConfig
from trainable.data.datasets import Dataset, load_dataset
from trainable.runtime import ImageCache

SIDE: Final = 32
TRAINED, TESTED = 3000, 1000
"""How many pairs there are to train and validate, and to test."""


def main() -> None:
    """Search on each table, print a line each, then one of JSON; nothing without real data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four trials each")
    parser.add_argument("--only", choices=["groups", "pairs"])
    given = parser.parse_args()
    real = os.environ.get("TUNE_REAL_DATA")
    if real is None:
        print(json.dumps({}))
        return
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, measure in (("groups", groups), ("pairs", pairs)):
            if given.only in {None, name}:
                found[name] = measure(Path(real).resolve(), Path(folder), quick=given.quick)
                print(f"{name:7s} {found[name]}", flush=True)
    print(json.dumps(found))


def groups(real: Path, folder: Path, *, quick: bool) -> dict[str, Any]:
    """Search the ants and bees from a table, with its groups and without them."""
    images = unpack(real / "data" / "hymenoptera.tar", str(folder / "hymenoptera"))
    rows = [
        {"path": str(path.relative_to(images)), "label": path.parent.name, "group": group_of(path)}
        for path in sorted(images.glob("*/*/*"))
    ]
    tables = {
        "with": written(images / "groups.csv", rows),
        "without": written(images / "plain.csv", [without(row, "group") for row in rows]),
    }
    words = [
        "name=hymenoptera",
        f"model.weights={real / 'weights' / 'resnet18-complete.pt'}",
        "data.image_size=112",
        "confirm.top_k=0",
    ]
    groups = {str(images / row["path"]): row["group"] for row in rows}
    found = {}
    for name, table in tables.items():
        config = DataConfig(source="table", root=str(table), image_size=112)
        dataset = load_dataset(config, ImageCache(max_bytes=0))
        figures = searched(table, words, quick=quick)
        found[name] = {"torn": torn(dataset, groups), **figures}
    sizes = [list(groups.values()).count(group) for group in set(groups.values())]
    return {"images": len(rows), "groups_of_several": sum(size > 1 for size in sizes), **found}


def group_of(path: Path) -> str:
    """The number of a photograph but for its last five digits; its own name if it has none."""
    number = path.stem.split("_")[0]
    return number[:-5] if number.isdigit() and len(number) > 5 else path.stem


def without(row: dict[str, str], column: str) -> dict[str, str]:
    """A row that lacks a column."""
    return {name: value for name, value in row.items() if name != column}


def torn(dataset: Dataset, groups: dict[str, str]) -> int:
    """How many groups have images in more than one split."""
    splits = defaultdict(set)
    for split in ("train", "val", "test"):
        for file in dataset.split(split).files:
            splits[groups[str(file)]].add(split)
    return sum(len(each) > 1 for each in splits.values())


def pairs(real: Path, folder: Path, *, quick: bool) -> dict[str, Any]:
    """Search on pictures of two images side by side, with the labels of both."""
    table = paired(real / "data" / "cifar10-jpeg.tar.gz", folder / "pairs")
    words = [
        *("name=pairs", "data.labels=several", "objective.metric=val_map"),
        *("objective.also=[val_micro_f1, val_macro_f1]", "data.image_size=64"),
        f"model.weights={real / 'weights' / 'resnet18-imagenet-to-layer3.pt'}",
        *("model.unfreeze_depth=1", "space.model.unfreeze_depth={low: 1, high: 3}"),
        *("train.epochs=6", "confirm.top_k=0"),
    ]
    return {"chance": 0.2, **searched(table, words, quick=quick)}


def paired(archive: Path, target: Path) -> Path:
    """Draw pairs of two classes each and write them side by side; returns their table."""
    draws = random.Random(0)
    rows = []
    unpacked = unpack(archive, str(target / "images"))
    for split, count in (("train", TRAINED), ("test", TESTED)):
        names = sorted((unpacked / split).glob("*/*"))
        chosen = draws.sample(names, 4 * count)  # some are of one class
        both = [
            two
            for two in zip(chosen[::2], chosen[1::2], strict=True)
            if two[0].parent != two[1].parent
        ]
        for number, two in enumerate(both[:count]):
            path = target / split / f"{number}.png"
            side_by_side(two, path)
            labels = "|".join(sorted(each.parent.name for each in two))
            rows.append({"path": f"{split}/{path.name}", "label": labels, "split": split})
    return written(target / "labels.csv", rows)


def side_by_side(images: Sequence[Path], target: Path) -> None:
    """Write images of one size beside each other, as one square."""
    target.parent.mkdir(parents=True, exist_ok=True)
    whole = Image.new("RGB", (SIDE * len(images), SIDE))
    for place, path in enumerate(images):
        with Image.open(path) as image:
            whole.paste(image, (SIDE * place, 0))
    whole.resize((SIDE * len(images), SIDE * len(images))).save(target)


def written(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write a table; returns where."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    return path


def searched(table: Path, words: list[str], *, quick: bool) -> dict[str, float]:
    """Search in a folder of its own; returns the test figures of the model that it registers."""
    fast = ["budget.num_samples=4", "train.epochs=2"] if quick else []
    source = ["data.source=table", f"data.root={table}"]
    command = [sys.executable, "-m", "tune.search", "--config", "image_folder", *words]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TUNE_CACHE": f"{folder}/cache"}
        start = time.monotonic()
        subprocess.run(
            [*command, *source, *fast], cwd=folder, env=environment, check=True, stdout=sys.stderr
        )
        seconds = round(time.monotonic() - start)
        recorded = result(Path(folder))
    tested = {name: value for name, value in recorded.items() if name.startswith("test_")}
    return {"trials": recorded["trials"], "seconds": seconds, **tested}


if __name__ == "__main__":
    main()
