"""The usual program: JPEG files, a DataLoader with workers, torchvision's transforms."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18

from on_gpu.section import CLASSES
from trainable.device import Device
from trainable.network.cut_network import MEAN, STD


def write_images(folder: Path, count: int, side: int) -> Path:
    """Smooth images as JPEG files, in a folder for each class."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 6, 6, generator=generator) * 255
    images = F.interpolate(coarse, size=(side, side), mode="bilinear").to(torch.uint8)
    for number, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
        target = folder / f"{number % CLASSES}" / f"{number:05d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(target, quality=90)
    return folder


def rate(
    root: Path, size: int, batch_size: int, workers: int, device: Device, seconds: float
) -> float:
    """Images a second that it trains on, after its first batches."""
    model = resnet18(num_classes=CLASSES).to(device.torch_device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    seen, begin = 0, 0.0
    for number, (images, labels) in enumerate(_batches(_loader(root, size, batch_size, workers))):
        if number == 2 * workers:  # what the workers had ready before
            seen, begin = 0, time.monotonic()
        _step(model, optimizer, images, labels, device)
        seen += len(labels)
        if begin and time.monotonic() - begin > seconds:
            break
    if device.is_gpu:
        torch.cuda.synchronize()
    return seen / (time.monotonic() - begin)


def _loader(
    root: Path, size: int, batch_size: int, workers: int
) -> DataLoader[tuple[Tensor, Tensor]]:
    transform = transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    return DataLoader(
        ImageFolder(root, transform),
        batch_size,
        shuffle=True,
        num_workers=workers,
        pin_memory=True,
        persistent_workers=True,
        drop_last=True,
    )


def _batches(loader: DataLoader[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    device: Device,
) -> None:
    images = images.to(device.torch_device, non_blocking=True, memory_format=torch.channels_last)
    with device.autocast():
        logits = model(images)
    F.cross_entropy(logits.float(), labels.to(device.torch_device, non_blocking=True)).backward()
    optimizer.step()
    optimizer.zero_grad()
