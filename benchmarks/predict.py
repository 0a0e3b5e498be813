"""Labelling image files beside the network alone: what decoding costs.

    TUNE_REAL_DATA=FOLDER python benchmarks/predict.py    # --quick

A thousand files labelled as `python -m tune.predict` does it, and the network's forward pass on
as many images that are decoded and at its size already, in batches of the same size. In turn,
three rounds, the median of each. The digits are PNG files at their stored size (8 px, the network
sees 48). With `TUNE_REAL_DATA`, a folder that holds `data/hymenoptera.tar`, also its 397
photographs, over and over, by a network that sees 224 px. The weights are
random: they do not change the time.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from PIL import Image
from searches import unpack, versions
from torchvision.models import resnet18

from trainable.config import DataConfig
from trainable.data.datasets import load_dataset
from trainable.data.forms.image_folder import image_files
from trainable.device import resolve_device
from trainable.inference.classifier import Classifier
from trainable.inference.labelling import BATCH, label
from trainable.inference.spec import Spec

ROUNDS = 3


def main() -> None:
    """Measure each kind of image and print the rates, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer images")
    quick = parser.parse_args().quick
    device = resolve_device("fp32", use_gpu=False)
    print(f"{os.cpu_count()} CPUs, {device.num_threads} threads, {versions()}", flush=True)
    real = os.environ.get("TUNE_REAL_DATA")
    figures = {}
    with TemporaryDirectory() as folder:
        digits = write_digits(Path(folder) / "digits")
        figures["digits_png_48px"] = measure(digits, 8, 48, 1000)
        if real is not None:
            photos = image_files(unpack(Path(real) / "data" / "hymenoptera.tar", folder))
            figures["photos_jpeg_224px"] = measure(photos, 256, 224, 192 if quick else 1000)
    print(json.dumps(figures))


def write_digits(folder: Path) -> list[Path]:
    """A thousand digits as PNG files."""
    folder.mkdir()
    for index, image in enumerate(load_dataset(DataConfig()).train.images[:1000]):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{index:04d}.png")
    return image_files(folder)


def measure(files: list[Path], stored_side: int, image_size: int, count: int) -> dict[str, float]:
    """Images a second of the files and of the network alone, and the first over the second."""
    spec = Spec("resnet18", tuple("0123456789"), stored_side, image_size)
    classifier = Classifier(spec, resnet18(num_classes=10).state_dict())
    files = (files * (count // len(files) + 1))[:count]
    batch = torch.randint(256, (BATCH, 3, image_size, image_size), dtype=torch.uint8)

    def labelled() -> None:
        assert sum(1 for _ in label(classifier, files)) == count

    @torch.inference_mode()
    def forward() -> None:
        pixels = batch.contiguous(memory_format=torch.channels_last)
        for start in range(0, count, BATCH):
            classifier.network(pixels[: min(BATCH, count - start)])

    list(label(classifier, files[:BATCH]))  # warm
    rounds = [(seconds(labelled), seconds(forward)) for _ in range(ROUNDS)]
    own, alone = (count / median(times) for times in zip(*rounds, strict=True))
    print(
        f"{image_size} px, {count} files: {own:,.0f} images a second, the network alone "
        f"{alone:,.0f}: {own / alone:.1%}",
        flush=True,
    )
    return {"labelled": round(own, 1), "network": round(alone, 1), "share": round(own / alone, 3)}


def seconds(run: Callable[[], None]) -> float:
    """How long something takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
