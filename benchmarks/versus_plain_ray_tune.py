"""Trial-epochs per second beside a plain Ray Tune program (`versus/plain.py`).

    TUNE_REAL_DATA=FOLDER python benchmarks/versus_plain_ray_tune.py     # about 80 minutes
    python benchmarks/versus_plain_ray_tune.py --quick

Both sides train the same 20 trials for the same 3 epochs on the same 1,000 images of
CIFAR-10 (JPEG) at 224 px, and validate on the same 250; each through Ray, two trials at once
on two cores, one side after the other. A list of heads only, and one of all depths. Ours
runs each list with an empty store (cold), and once more (warm).

The rate counts from the start of the first trial to the end of the last, as MLflow has them
on either side. `--quick` takes fewer trials of one epoch on fewer images, and the digits where
`TUNE_REAL_DATA` is not set.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

from searches import versions
from versus.material import Material, cifar10, digits
from versus.sides import Figures, Plan, run_ours, run_plain


def main() -> None:
    """Run both lists on both sides and print the ratios, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few short trials")
    quick = parser.parse_args().quick
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        material = material_of(folder, quick)
        epochs = 1 if quick else 3
        depths = (0, 1, 3, 5) if quick else range(6)
        heads = Plan(material, trials(4 if quick else 20, material, (0,)), epochs)
        mixed = Plan(material, trials(4 if quick else 20, material, depths), epochs)
        plans = {"head_only": heads, "mixed": mixed}
        results = {name: _both(name, plan, folder) for name, plan in plans.items()}
    print(json.dumps(summary(results)))


def trials(count: int, material: Material, depths: Any) -> list[dict[str, Any]]:
    """A fixed list, drawn from a seed, with depths and policies spread evenly."""
    draw = random.Random(0)
    policies = ("none", "flip" if material.mirror else "flip_crop")
    depths = list(depths)
    return [
        {
            "optim.lr": 10 ** draw.uniform(-4, -3 if depth else -2),
            "optim.weight_decay": 10 ** draw.uniform(-6, -3),
            "model.unfreeze_depth": depth,
            "augment.policy": policies[(index % len(depths) + index // len(depths)) % 2],
        }
        for index in range(count)
        for depth in [depths[index % len(depths)]]
    ]


def summary(results: dict[str, dict[str, Figures]]) -> dict[str, float]:
    """The ratios of the rates, and how far the mean accuracies are apart, in points."""
    ratios = {
        f"{name}_{run}": round(sides[run].rate / sides["plain"].rate, 1)
        for name, sides in results.items()
        for run in ("cold", "warm")
    }
    differences = [
        sides["cold"].accuracies[values] - sides["plain"].accuracies[values]
        for sides in results.values()
        for values in sides["plain"].accuracies
    ]
    return {**ratios, "accuracy_difference": round(100 * mean(differences), 2)}


def material_of(folder: Path, quick: bool) -> Material:
    """CIFAR-10 (JPEG) where it is at hand, else the digits."""
    real = os.environ.get("TUNE_REAL_DATA")
    if real:
        train, val = (200, 50) if quick else (1000, 250)
        return cifar10(Path(real), folder, train, val)
    print("TUNE_REAL_DATA is not set: the digits, at 48 px", flush=True)
    return digits(folder)


def _both(name: str, plan: Plan, folder: Path) -> dict[str, Figures]:
    store = folder / f"{name}-store"
    runs = {
        "cold": lambda target: run_ours(plan, target, store),
        "warm": lambda target: run_ours(plan, target, store),
        "plain": lambda target: run_plain(plan, target),
    }
    results = {}
    for run, start in runs.items():
        results[run] = start(folder / f"{name}-{run}")
        print(f"{name:10s} {run:6s} {results[run]}", flush=True)
    for values, accuracy in sorted(results["plain"].accuracies.items()):
        ours = results["cold"].accuracies[values]
        print(f"  {values:55s} plain {accuracy:.3f}  ours {ours:.3f}", flush=True)
    return results


if __name__ == "__main__":
    main()
