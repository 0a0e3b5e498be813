"""Trial-epochs per second beside a plain Ray Tune program (`versus/plain.py`).

    TUNE_REAL_DATA=FOLDER python benchmarks/versus_plain_ray_tune.py     # a quarter of an hour
    python benchmarks/versus_plain_ray_tune.py --quick

Both sides train the same 12 trials for the same 2 epochs on the same 500 images of CIFAR-10
(JPEG) at 112 px in batches of 32, and validate on the same 100; each through Ray, two trials at
once on two cores, one side after the other. Two lists, with depths 0 to 5 evenly: the policies of
the image folders' default space, evenly (`default`), and none and flip alone, of which the store
keeps more (`none_and_flip`). Two plain sides: `tuned`, channels last, with its actors reused, and
in bf16 where that is faster, and `tutorial`, without these. Ours runs each list with an empty store
(`cold`), and once more (`warm`).

The sizes are such that all of it fits into one call: two epochs a trial are about what the default
scheduler leaves of nine on average (20, 7 and 2 of 20 trials go on to epoch 1, 3 and 9); fewer
trials than the default 20 have less in common, which is not to our favour; small images and few
of them leave more time for the start of trials, which is to our favour against `tutorial`.

The rate counts from the start of the first trial to the end of the last, as MLflow has them
on either side. `--quick` takes three trials of one epoch on fewer images, and the digits where
`TUNE_REAL_DATA` is not set.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from searches import versions
from versus.material import Material, cifar10, digits
from versus.sides import TUNED, TUTORIAL, Figures, Plan, run_ours, run_plain

PLAIN = {"tuned": TUNED, "tutorial": TUTORIAL}


def main() -> None:
    """Run both lists on all sides and print the ratios, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few short trials")
    quick = parser.parse_args().quick
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        material = material_of(folder, 200 if quick else 500, 100, 112)
        count, epochs, depths = (3, 1, (0, 1, 5)) if quick else (12, 2, range(6))
        few, all_of_them = policies_of(material)
        plans = {
            name: Plan(material, trials(count, depths, policies), epochs, batch_size=32)
            for name, policies in {"default": all_of_them, "none_and_flip": few}.items()
        }
        results = {name: _all_sides(name, plan, folder) for name, plan in plans.items()}
    print(json.dumps(summary(results)))


def policies_of(material: Material) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Two that the store keeps few views of, and those of the material's default space."""
    if material.mirror:
        return ("none", "flip"), ("none", "flip", "flip_crop", "trivial", "rand")
    return ("none", "flip_crop"), ("none", "flip_crop", "trivial", "rand")


def trials(count: int, depths: Sequence[int], policies: Sequence[str]) -> list[dict[str, Any]]:
    """A fixed list, drawn from a seed, with depths and policies spread evenly."""
    draw = random.Random(0)
    return [
        {
            "optim.lr": 10 ** draw.uniform(-4, -3 if depth else -2),
            "optim.weight_decay": 10 ** draw.uniform(-6, -3),
            "model.unfreeze_depth": depth,
            "augment.policy": policies[
                (index % len(depths) + index // len(depths)) % len(policies)
            ],
        }
        for index in range(count)
        for depth in [depths[index % len(depths)]]
    ]


def summary(results: dict[str, dict[str, Figures]]) -> dict[str, float]:
    """The ratios of the rates, the least favourable first, and the accuracies beside each other.

    The latter are differences of mean accuracies, ours less plain's, in points, and the plain
    sides' means themselves, of which neither may have failed to learn.
    """
    ratios = {
        f"{name}_{run}_over_{plain}": round(sides[run].rate / sides[plain].rate, 2)
        for run in ("cold", "warm")
        for name, sides in results.items()
        for plain in PLAIN
    }
    means = {
        side: 100 * mean(a for sides in results.values() for a in sides[side].accuracies.values())
        for side in ("cold", *PLAIN)
    }
    return {
        **ratios,
        **{f"accuracy_over_{plain}": round(means["cold"] - means[plain], 2) for plain in PLAIN},
        **{f"accuracy_of_{plain}": round(means[plain], 2) for plain in PLAIN},
    }


def material_of(folder: Path, train: int, val: int, image_size: int) -> Material:
    """CIFAR-10 (JPEG) where it is at hand, so many images of it; else the digits."""
    if real := os.environ.get("TUNE_REAL_DATA"):
        return cifar10(Path(real), folder, train, val, image_size)
    print("TUNE_REAL_DATA is not set: the digits, at 48 px", flush=True)
    return digits(folder)


def _all_sides(name: str, plan: Plan, folder: Path) -> dict[str, Figures]:
    store = folder / f"{name}-store"
    results = {}
    for side in (*PLAIN, "cold", "warm"):
        target = folder / f"{name}-{side}"
        results[side] = (
            run_plain(plan, target, PLAIN[side]) if side in PLAIN else run_ours(plan, target, store)
        )
        print(f"{name:14s} {side:9s} {results[side]}", flush=True)
    for values, ours in sorted(results["cold"].accuracies.items()):
        plain = "  ".join(f"{side} {results[side].accuracies[values]:.3f}" for side in PLAIN)
        print(f"  {values:55s} ours {ours:.3f}  {plain}", flush=True)
    return results


if __name__ == "__main__":
    main()
