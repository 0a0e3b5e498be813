"""The images and weights that both sides get."""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torchvision.models import resnet18

from trainable.config import DataConfig
from trainable.data.datasets import load_dataset
from trainable.data.decoding.image_file import read_square
from trainable.data.sizes import stored_side
from trainable.network.weights import load_weights


@dataclass(frozen=True)
class Material:
    """What is trained on.

    Attributes:
        root: An image folder with `train/`, `val/` and `test/`.
        weights: A state dict of a whole ResNet18.
        image_size: What the network sees.
        side: Of the stored images, in pixels.
        mirror: Whether a mirrored image keeps its label.
    """

    root: Path
    weights: Path
    image_size: int
    side: int
    mirror: bool


def cifar10(
    real: Path, folder: Path, train: int, val: int, image_size: int = 224, test: int = 100
) -> Material:
    """CIFAR-10 (JPEG), and ImageNet's ResNet18 up to layer3.

    Args:
        real: A folder with `data/cifar10-jpeg.tar.gz` and `weights/`.
        folder: Where to put the images and weights.
        train: Training images, as many of each class.
        val: Validation images, from the training split too.
        image_size: What the network sees, in pixels.
        test: Test images, as many of each class.
    """
    root = folder / "images"
    with tarfile.open(real / "data" / "cifar10-jpeg.tar.gz") as tar:
        files = sorted((m for m in tar.getmembers() if m.isfile()), key=lambda m: m.name)
        for member, target in _chosen(files, train // 10, val // 10, test // 10):
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            assert content is not None
            (root / target).write_bytes(content.read())
    partial = real / "weights" / "resnet18-imagenet-to-layer3.pt"
    return Material(root, complete(partial, folder / "resnet18.pt"), image_size, 32, mirror=True)


def complete(partial: Path, target: Path) -> Path:
    """Fill in what a state dict lacks of a ResNet18 with seeded random weights."""
    torch.manual_seed(0)
    own = resnet18().state_dict()
    given = torch.load(partial, weights_only=True)
    torch.save({name: given.get(name, value) for name, value in own.items()}, target)
    return target


def hymenoptera(real: Path, folder: Path, image_size: int) -> Material:
    """Ants and bees, and ImageNet's ResNet18; what they have for validation is the test here.

    Args:
        real: A folder with `data/hymenoptera.tar` and `weights/`.
        folder: Where to put the images, as small squares that leave room for crops, so that no side
            decodes photographs; a fifth of those for training are for validation.
        image_size: What the network sees, in pixels.
    """
    root = folder / "images"
    with tarfile.open(real / "data" / "hymenoptera.tar") as tar:
        files = sorted((m for m in tar.getmembers() if m.isfile()), key=lambda m: m.name)
        for number, member in enumerate(files):
            *_, split, label, name = Path(member.name).parts
            if split == "train" and number % 5 == 0:
                split = "val"
            elif split == "val":
                split = "test"
            target = (root / split / label / name).with_suffix(".png")
            target.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            assert content is not None
            pixels = read_square(io.BytesIO(content.read()), stored_side(image_size))
            Image.fromarray(pixels).save(target)
    weights = real / "weights" / "resnet18-complete.pt"
    return Material(root, weights, image_size, stored_side(image_size), mirror=True)


def digits(folder: Path, image_size: int = 48) -> Material:
    """scikit-learn's digits as PNG files, split as the default search splits them."""
    dataset = load_dataset(DataConfig(image_size=image_size))
    for name in ("train", "val", "test"):
        split = dataset.split(name)
        for index, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
            target = folder / "images" / name / dataset.classes[label] / f"{index:04d}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(target)
    own = resnet18(num_classes=10).state_dict()
    weights = folder / "resnet18.pt"
    torch.save({**own, **load_weights("bundled", "resnet18")}, weights)
    side = dataset.train.images.shape[-1]
    return Material(folder / "images", weights, image_size, side, mirror=False)


def _chosen(
    files: list[tarfile.TarInfo], train: int, val: int, test: int
) -> Iterator[tuple[tarfile.TarInfo, Path]]:
    """The first files of each class and split, and where they go."""
    count: Counter[tuple[str, str]] = Counter()
    for file in files:
        split, label, name = Path(file.name).parts[-3:]
        number = count[split, label]
        count[split, label] += 1
        if split == "train" and number < train + val:
            yield file, Path("train" if number < train else "val", label, name)
        elif split == "test" and number < test:
            yield file, Path(split, label, name)
