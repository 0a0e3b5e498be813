"""A folder of images as cameras and tools make them: trained on as they are predicted."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.networks import random_state
from trainable.config import DataConfig
from trainable.data.datasets import load_dataset
from trainable.data.parts import SPLITS
from trainable.inference.classifier import Classifier
from trainable.inference.spec import Spec
from trainable.runtime import ImageCache

SIDE, STORED = 28, 32
DRAW = np.random.default_rng(0)


def noise(*channels: int, kind: type[np.generic] = np.uint8) -> Any:
    """Noise of many scales, so that another way of decoding it would be seen."""
    small = DRAW.random((20, 24, *channels))
    large = small.repeat(6, 0).repeat(6, 1)
    return (large * (65_535 if kind is np.uint16 else 255)).astype(kind)


def forms() -> Iterator[tuple[str, Image.Image, str, dict[str, Any]]]:
    """A name, an image, a format and its options."""
    rgb, rgba, grey = (Image.fromarray(noise(*each)) for each in ((3,), (4,), ()))
    exif = Image.Exif()
    exif[0x0112] = 8
    yield "photo.jpg", rgb, "JPEG", {"quality": 90, "exif": exif}
    yield "scan.jfif", rgb.convert("CMYK"), "JPEG", {}
    yield "stereo.jpg", rgb, "MPO", {"save_all": True, "append_images": [rgb.rotate(90)]}
    yield "progressive.jpeg", rgb, "JPEG", {"progressive": True}
    yield "cut.png", rgba, "PNG", {}
    yield "palette.png", rgb.convert("P"), "PNG", {"transparency": 7}
    yield "deep.png", Image.fromarray(noise(kind=np.uint16)), "PNG", {}
    yield "fax", grey.convert("1"), "TIFF", {"compression": "group4"}
    yield "floats.tif", Image.fromarray(noise(kind=np.float32) / np.float32(255)), "TIFF", {}
    yield "turned.tiff", rgb, "TIFF", {"exif": exif, "compression": "tiff_lzw"}
    yield "moving.gif", rgb, "GIF", {"save_all": True, "append_images": [rgb.rotate(90)]}
    yield "web.webp", rgba, "WEBP", {"lossless": True}
    yield "new.avif", rgb, "AVIF", {"exif": exif}
    yield "medical.jp2", Image.fromarray(noise(kind=np.uint16)), "JPEG2000", {}
    yield "old.bmp", rgb.convert("P"), "BMP", {}
    yield "plain.ppm", rgb, "PPM", {}
    yield "wrong.png", rgb, "JPEG", {}
    yield "IMG_0001", rgb, "WEBP", {}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("forms")
    for label in ("ants", "bees"):
        (root / label).mkdir()
        for name, image, kind, options in forms():
            image.save(root / label / name, kind, **options)
        (root / label / "README.txt").write_text("where these come from")
        (root / label / ".DS_Store").write_bytes(b"\0\0\0\1Bud1\0")
    return root


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.usefixtures("no_cached_data")
def test_each_is_predicted_from_the_pixels_that_it_is_trained_on(
    root: Path, tmp_path: Path, stored: bool
) -> None:
    config = DataConfig(source="image_folder", root=root, image_size=SIDE)
    cache = ImageCache(str(tmp_path / "cache"), 10**9 if stored else 0)
    classifier = Classifier(Spec("resnet18", ("ants", "bees"), STORED, SIDE), random_state(2))

    dataset = load_dataset(config, cache)

    files = {path: image for name in SPLITS for path, image in pairs(dataset.split(name))}
    assert {path.name for path in files} == {name for name, *_ in forms()}
    for path, image in files.items():
        assert torch.equal(classifier.read([path])[0], image), path.name
        assert torch.equal(classifier.read([io.BytesIO(path.read_bytes())])[0], image), path.name
        assert image.float().std() > 20, path.name
    (note,) = (each for each in dataset.notes if "left out" in each)
    assert "README.txt: text" in note
    assert ".DS_Store" in note


def pairs(split: Any) -> Iterator[tuple[Path, torch.Tensor]]:
    return zip(split.files, split.images[:], strict=True)
