"""Peak memory of one trial, the store's mapped pages aside.

    TUNE_REAL_DATA=FOLDER python benchmarks/memory.py             # 50,000 images
    python benchmarks/memory.py --quick

A trial of depth 1 at 112 px, whose stored activations are 25 kB an image (1.25 GB a view of
50,000), on CIFAR-10 (JPEG), run cold and then warm by `python -m tune.debug`. Memory is what the
system counts as the process's own (RssAnon); mapped pages (RssFile) are shared and can be
dropped at any time. `--quick` takes the digits.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from searches import versions
from versus.sides import REPOSITORY


def main() -> None:
    """Run the trial twice and print its peaks, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the digits")
    quick = parser.parse_args().quick
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = ["data.source=digits"] if quick else real_data(folder)
        peaks = {run: peak(words, folder) for run in ("cold", "warm")}
    for run, (own, mapped) in peaks.items():
        print(f"{run}: {own:.2f} GB of its own, {mapped:.2f} GB mapped")
    print(json.dumps({f"{run}_gb": round(own, 2) for run, (own, _) in peaks.items()}))


def real_data(folder: Path) -> list[str]:
    """CIFAR-10 (JPEG), all of it."""
    real = Path(os.environ["TUNE_REAL_DATA"])
    with tarfile.open(real / "data" / "cifar10-jpeg.tar.gz") as tar:
        tar.extractall(folder / "all", filter="data")
    (root,) = (folder / "all").iterdir()
    weights = real / "weights" / "resnet18-imagenet-to-layer3.pt"
    return ["data.source=image_folder", f"data.root={root}", f"model.weights={weights}"]


def peak(words: list[str], folder: Path) -> tuple[float, float]:
    """The most memory of its own, and mapped, that a trial had, in GB."""
    config = str(REPOSITORY / "configs" / "digits.yaml")
    words = [*words, "data.image_size=112", "data.val_fraction=0.02", "train.epochs=1"]
    words += ["model.unfreeze_depth=1", "augment.mixup=0", "resources.cpu=2"]
    variables = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "TUNE_CACHE": str(folder / "store"),
    }
    command = [sys.executable, "-m", "tune.debug", "--config", config, *words]
    own, mapped = 0, 0
    with subprocess.Popen(command, cwd=folder, env=variables, stdout=sys.stderr) as process:
        while process.poll() is None:
            now = memory_of(process.pid)
            own, mapped = max(own, now.get("RssAnon", 0)), max(mapped, now.get("RssFile", 0))
            time.sleep(0.05)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return own / 10**6, mapped / 10**6


def memory_of(pid: int) -> dict[str, int]:
    """What Linux counts of a process's memory, in kB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}


if __name__ == "__main__":
    main()
