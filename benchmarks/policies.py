"""What an epoch under each augmentation policy costs beside one of `flip_crop`.

    TUNE_REAL_DATA=FOLDER python benchmarks/policies.py     # --quick

An epoch whose view nobody has computed yet: the images are rendered, the frozen layers make
what they make of them, and the tail is trained and validated, on one core. At 64, 128 and 224 px,
of 200 images, with tails that train the head alone (where rendering weighs most) and half of the
layers. The policies take turns, and the ratio is of medians. Seconds are of processor time. The
digits where `TUNE_REAL_DATA` is not set, else CIFAR-10 (JPEG) at 64 px and hymenoptera above.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from searches import unpack, versions

from trainable.config import TrialConfig
from trainable.device import resolve_device
from trainable.finetuner import FineTuner

POLICIES = ("flip_crop", "trivial", "rand")


def main() -> None:
    """Measure all of them and print the ratios, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two epochs, not at 224 px")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        roots = unpacked(Path(name))
        for side in (64, 128) if quick else (64, 128, 224):
            for depth in (0, 3):
                seconds = measured(data(roots, side), depth, 2 if quick else 4)
                found |= ratios(f"{side}px_depth{depth}", seconds)
    print(json.dumps({"most": max(found.values()), **found}))


def ratios(name: str, seconds: dict[str, list[float]]) -> dict[str, float]:
    """Each policy's median over that of `flip_crop`."""
    medians = {policy: statistics.median(several) for policy, several in seconds.items()}
    words = ", ".join(f"{policy} {value:.2f} s" for policy, value in medians.items())
    print(f"{name:14s} {words}", flush=True)
    base = medians.pop("flip_crop")
    return {f"{name}_{policy}": round(value / base, 2) for policy, value in medians.items()}


def measured(data: dict[str, Any], depth: int, epochs: int) -> dict[str, list[float]]:
    """Processor seconds of each policy's epochs, one after the other."""
    tuners = {policy: tuner(data, policy, depth, epochs + 1) for policy in POLICIES}
    for each in tuners.values():
        each.train_epoch()  # computes the validation images' outputs too
    seconds: dict[str, list[float]] = {policy: [] for policy in POLICIES}
    for _ in range(epochs):
        for policy, each in tuners.items():
            start = time.process_time()
            each.train_epoch()
            seconds[policy].append(time.process_time() - start)
    return seconds


def tuner(data: dict[str, Any], policy: str, depth: int, epochs: int) -> FineTuner:
    """A trial of a policy, without a store."""
    config = TrialConfig.model_validate(
        {
            "data": {**data, "limit": 200},
            "model": {"unfreeze_depth": depth},
            "augment": {"policy": policy, "num_views": epochs},
            "train": {"epochs": epochs},
        }
    )
    return FineTuner(config, resolve_device("cpu", 1))


def unpacked(folder: Path) -> dict[str, Path]:
    """The real data's folders, by name."""
    real = os.environ.get("TUNE_REAL_DATA")
    if not real:
        return {}
    archives = {"cifar10": "cifar10-jpeg.tar.gz", "hymenoptera": "hymenoptera.tar"}
    return {
        name: unpack(Path(real) / "data" / archive, str(folder / name))
        for name, archive in archives.items()
    }


def data(roots: dict[str, Path], side: int) -> dict[str, Any]:
    """The images at a size."""
    if not roots:
        return {"image_size": side}
    root = roots["cifar10" if side == 64 else "hymenoptera"]
    return {"source": "image_folder", "root": str(root), "image_size": side}


if __name__ == "__main__":
    main()
