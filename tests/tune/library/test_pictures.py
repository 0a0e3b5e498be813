"""Images in memory are read as their files are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from trainable.data.decoding.image_file import read_square
from tune.library.models import _source


def picture(mode: str) -> Image.Image:
    ramp = np.tile(np.linspace(0, 1, 16, dtype=np.float32), (16, 1))
    grey = Image.fromarray((ramp * 255).astype(np.uint8))
    if mode == "F":
        return Image.fromarray(ramp)
    if mode == "I":
        return Image.fromarray((ramp * 255).astype(np.int32))
    if mode == "I;16":
        return Image.fromarray((ramp * 65_535).astype(np.uint16))
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        found = ImageCms.profileToProfile(grey.convert("RGB"), srgb, lab, outputMode="LAB")
        assert found is not None
        return found
    if mode in {"LA", "RGBA"}:
        image = grey.convert(mode)
        image.putalpha(grey.transpose(Image.Transpose.ROTATE_90))
        return image
    return grey.convert(mode)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F", "LAB", "CMYK"]
)
def test_an_image_of_pillows_is_read_as_its_file_is(tmp_path: Path, mode: str) -> None:
    picture(mode).save(tmp_path / "a.tiff")
    of_file = read_square(tmp_path / "a.tiff", 16)

    with Image.open(tmp_path / "a.tiff") as image:
        assert image.mode == mode
        source = _source(image)

    np.testing.assert_array_equal(read_square(source, 16), of_file)
    assert of_file.std() > 30
