"""Decoding one image file."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from tests.helpers.processes import wait_until
from trainable.data.decoding import decoders
from trainable.data.decoding.image_file import MAX_BYTES, ImageError, read_looks, read_square
from trainable.data.decoding.room import Room

ORIENTATION = 0x0112
ROTATED = 6
"""EXIF orientation of a picture whose top is on the right of what is stored."""


def noise(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def ramp(side: int) -> Image.Image:
    """Darkest at the top, brightest at the bottom."""
    column = np.linspace(0, 255, side).astype(np.uint8)
    return Image.fromarray(np.repeat(column[:, None], side, axis=1)).convert("RGB")


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def huge_png(side: int = 20_000) -> bytes:
    """A header that promises so many pixels a side, and next to nothing after it."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0"))


def claiming(kind: str, side: int = 9_100) -> bytes:
    """A small file of a format whose header claims so many pixels a side."""
    small, large = (16, 16), (side, side)
    if kind == "PNG":
        return huge_png(side)
    if kind == "PPM":
        return b"P6 %d %d 255\n" % large
    image = Image.new("RGB", small, (9, 99, 199))
    options = {"WEBP": {"lossless": True, "exif": b"Exif\0\0"}, "JPEG2000": {"no_jp2": True}}
    content = bytearray(encoded(image, kind, **options.get(kind, {})))
    where, form, values = {
        "JPEG": (content.find(b"\xff\xc0") + 5, ">HH", large),
        "WEBP": (24, "<3s3s", tuple((side - 1).to_bytes(3, "little") for _ in large)),
        "GIF": (6, "<HH", large),
        "BMP": (18, "<ii", large),
        "TIFF": (content.find(struct.pack("<HHI", 256, 4, 1)), "<HHIIHHII", ()),
        "JPEG2000": (content.find(b"\xff\x51") + 6, ">IIIIII", (*large, 0, 0, *large)),
        "AVIF": (content.find(b"ispe") + 8, ">II", large),
    }[kind]
    if kind == "TIFF":
        values = (256, 4, 1, side, 257, 4, 1, side)
    struct.pack_into(form, content, where, *values)
    return bytes(content)


def png_with_a_broken_part(number: int) -> bytes:
    """Pixels in several parts, one of which does not say what it is."""
    parts = encoded(Image.fromarray(noise(200, 200)), "png").split(b"IDAT")
    assert len(parts) > number
    return b"IDAT".join(parts[:number]) + b"\0\0\0\0" + b"IDAT".join(parts[number:])


BROKEN = {
    "empty": b"",
    "text": b"these are words",
    "truncated_jpeg": encoded(Image.fromarray(noise(64, 64)), "jpeg")[:900],
    "truncated_png": encoded(Image.fromarray(noise(64, 64)), "png")[:900],
    "broken_start": png_with_a_broken_part(1),
    "broken_middle": png_with_a_broken_part(2),
    "huge": huge_png(),
    "large": huge_png(9_100),
    "icon": encoded(Image.fromarray(noise(16, 16)), "ico"),
    "postscript": encoded(Image.fromarray(noise(8, 8)), "eps"),
}


def test_a_square_of_the_wanted_side_is_read_as_it_is(tmp_path: Path) -> None:
    pixels = noise(10, 10)
    Image.fromarray(pixels).save(tmp_path / "a.png")

    square = read_square(tmp_path / "a.png", 10)

    assert square.dtype == np.uint8
    np.testing.assert_array_equal(square, pixels)


@pytest.mark.parametrize("size", [(40, 20), (20, 40)])
def test_the_centre_of_an_oblong_is_kept(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[height // 2 - 10 : height // 2 + 10, width // 2 - 10 : width // 2 + 10] = (0, 200, 0)
    Image.fromarray(pixels).save(tmp_path / "a.png")

    np.testing.assert_array_equal(
        read_square(tmp_path / "a.png", 20), np.full((20, 20, 3), (0, 200, 0))
    )


@pytest.mark.parametrize("side", [5, 64])
def test_the_short_side_becomes_the_wanted_side(tmp_path: Path, side: int) -> None:
    Image.fromarray(noise(30, 20)).save(tmp_path / "a.png")

    assert read_square(tmp_path / "a.png", side).shape == (side, side, 3)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK"])
def test_every_mode_ends_as_rgb(tmp_path: Path, mode: str) -> None:
    Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode).save(tmp_path / "a.tif")

    np.testing.assert_array_equal(read_square(tmp_path / "a.tif", 8), np.full((8, 8, 3), 255))


def test_a_grey_image_of_sixteen_bits_keeps_its_shades(tmp_path: Path) -> None:
    shades = np.linspace(0, 65_535, 64).astype(np.uint16)
    Image.fromarray(np.repeat(shades[:, None], 64, axis=1)).save(tmp_path / "a.png")

    square = read_square(tmp_path / "a.png", 64).astype(int)

    assert np.abs(square[:, 0, 0] - shades // 256).max() <= 1


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_a_photograph_taken_sideways_stands_upright(tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATED
    ramp(64).transpose(Image.Transpose.ROTATE_90).save(tmp_path / f"a.{kind}", exif=exif)

    square = read_square(tmp_path / f"a.{kind}", 16).astype(int)

    assert square[0].max() < 30
    assert square[-1].min() > 225


def test_a_jpeg_decoded_at_a_fraction_of_its_size_looks_the_same(tmp_path: Path) -> None:
    ramp(512).save(tmp_path / "a.jpg", quality=95)
    ramp(512).save(tmp_path / "a.png")

    small, exact = (read_square(tmp_path / f"a.{kind}", 32).astype(int) for kind in ("jpg", "png"))

    assert np.abs(small - exact).max() <= 3


def test_an_open_file_reads_like_a_path(tmp_path: Path) -> None:
    Image.fromarray(noise(20, 30)).save(tmp_path / "a.png")

    with (tmp_path / "a.png").open("rb") as file:
        np.testing.assert_array_equal(read_square(file, 16), read_square(tmp_path / "a.png", 16))


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_is_no_image_is_named_in_the_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(content)

    with pytest.raises(ImageError, match=r"holiday\.jpg cannot be read as an image \(.+\): repair"):
        read_square(path, 16)


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_an_upload_that_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(ImageError, match="the upload cannot be read as an image") as told:
        read_square(io.BytesIO(content), 16)

    assert " at 0x" not in str(told.value)


def test_a_missing_file_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nothing\.png"):
        read_square(tmp_path / "nothing.png", 16)


def test_the_size_is_width_and_height(tmp_path: Path) -> None:
    Image.fromarray(noise(30, 20)).save(tmp_path / "a.png")

    with (tmp_path / "a.png").open("rb") as file:
        assert read_looks(file)[0] == (30, 20)


@pytest.mark.parametrize("content", [b"", b"these are words", huge_png()])
def test_the_size_of_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "holiday.png"
    path.write_bytes(content)

    with path.open("rb") as file, pytest.raises(ImageError, match=r"holiday\.png"):
        read_looks(file)


def test_more_pixels_or_bytes_than_are_taken_is_told_before_anything_is_decoded(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(huge_png(9_100))
    with pytest.raises(ImageError, match=r"82,810,000 pixels, and more than 80,000,000 are not"):
        read_square(path, 16)
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ImageError, match=r"67,108,865 bytes, and more than 67,108,864 are not"):
        read_square(path, 16)
    with path.open("rb") as file, pytest.raises(ImageError, match=r"a\.png .* bytes"):
        read_square(file, 16)


@pytest.mark.slow
def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    """A gigabyte of zeros in a megabyte."""
    zeros = zlib.compressobj(9)
    data = b"".join(zeros.compress(bytes(2**24)) for _ in range(64)) + zeros.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8_000, 8_000, 8, 2, 0, 0, 0))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data))
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from trainable.data.decoding.image_file import *\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30))\n"
        "try: print(read_square(Path(sys.argv[1]), 16).shape)\n"
        "except ImageError as error: print(error)\n"
    )
    words = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def peak_of(code: str, *words: str) -> int:
    """By how many MB the peak of a process's memory grows while it runs some Python."""
    script = (
        "import sys; from concurrent.futures import ThreadPoolExecutor; from pathlib import Path\n"
        "from trainable.data.decoding.image_file import *\n"
        "def peak():\n"
        "    lines = Path('/proc/self/status').read_text().splitlines()\n"
        "    return next(int(each.split()[1]) for each in lines if each.startswith('VmHWM'))\n"
        f"before = peak()\n{code}\nprint((peak() - before) // 1024)"
    )
    command = [sys.executable, "-W", "ignore", "-c", script, *words]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_large_images_are_decoded_one_at_a_time(tmp_path: Path) -> None:
    Image.new("1", (8_000, 8_000)).save(tmp_path / "a.png")
    code = (
        "with ThreadPoolExecutor(4) as pool:\n"
        "    list(pool.map(lambda _: read_square(Path(sys.argv[1]), 16), range(4)))"
    )
    assert peak_of(code, str(tmp_path / "a.png")) < 200  # 64 MB of pixels, and as much in grey


def test_who_comes_first_is_decoded_first() -> None:
    room, order = Room(10), list[int]()

    def decode(pixels: int) -> None:
        with room.of(pixels):
            order.append(pixels)

    with ThreadPoolExecutor(3) as pool:
        with room.of(4):
            waiting = [pool.submit(decode, 7)]
            wait_until(room._turn.locked)
            waiting.append(pool.submit(decode, 1))  # fits, and would keep the other waiting
            time.sleep(0.05)
            assert order == []
        for each in waiting:
            each.result(5)
    assert order == [7, 1]


FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM", "TIFF", "JPEG2000", "AVIF"]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_that_breaks_off_is_refused_in_each_format(kind: str, share: float) -> None:
    content = encoded(Image.fromarray(noise(48, 40)), kind)
    assert read_square(io.BytesIO(content), 16).any()

    with pytest.raises(ImageError, match=r"the upload cannot be read as an image \(.+\)"):
        read_square(io.BytesIO(content[: int(share * len(content))]), 16)


@pytest.mark.filterwarnings("ignore")  # of Pillow's, about tags
@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_file_is_read_or_refused(kind: str) -> None:
    content = encoded(Image.fromarray(noise(48, 40)), kind)
    draw = np.random.default_rng(0)
    for _ in range(100):
        damaged = bytearray(content)
        for at in draw.integers(len(content) if draw.random() < 0.5 else 200, size=3):
            damaged[at] = draw.integers(256)
        try:
            assert read_square(io.BytesIO(damaged), 16).shape == (16, 16, 3)
        except ImageError as error:
            assert "the upload cannot be read as an image" in str(error)  # noqa: PT017


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_is_read_whatever_it_is_called(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{'jpg' if kind != 'JPEG' else 'png'}"
    path.write_bytes(encoded(Image.fromarray(noise(16, 16)), kind))

    np.testing.assert_array_equal(
        read_square(path, 16), read_square(io.BytesIO(path.read_bytes()), 16)
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_what_a_header_claims_is_refused_before_it_is_decoded(kind: str) -> None:
    reason = {"WEBP": "could not create decoder"}  # which finds out that there is less
    with pytest.raises(ImageError, match=reason.get(kind, "82,810,000 pixels, and more than")):
        read_square(io.BytesIO(claiming(kind)), 16)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read in /proc there")
def test_no_claim_takes_memory(tmp_path: Path) -> None:
    for kind in FORMATS:
        (tmp_path / kind).write_bytes(claiming(kind))
    code = (
        "for path in Path(sys.argv[1]).iterdir():\n"
        "    try: read_square(path, 16); raise SystemExit(f'{path} was read')\n"
        "    except ImageError: pass"
    )
    assert peak_of(code, str(tmp_path)) < 100


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes there")
def test_a_pipe_is_read(tmp_path: Path) -> None:
    """As `tune.predict <(curl ...)` gives one."""
    content = encoded(Image.fromarray(noise(16, 16)), "png")
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        pool.submit((tmp_path / "pipe").write_bytes, content)

        np.testing.assert_array_equal(read_square(tmp_path / "pipe", 16), noise(16, 16))


def test_odd_exif_data_spoil_no_photograph() -> None:
    """A tag that cannot be written again, beside the one that says how it is turned."""
    tags = struct.pack("<HHHII", 2, ORIENTATION, 3, 1, ROTATED) + struct.pack(
        "<HHIi", 271, 9, 1, -1
    )
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + tags + bytes(4)
    content = encoded(ramp(64).transpose(Image.Transpose.ROTATE_90), "jpeg", exif=exif)

    square = read_square(io.BytesIO(content), 16).astype(int)

    assert square[0].max() < 30
    assert square[-1].min() > 225


def test_the_thumbnail_of_a_raw_file_is_not_taken_for_it() -> None:
    for tags in ({254: 1}, {50706: b"\1\4\0\0"}):
        info = TiffImagePlugin.ImageFileDirectory_v2()
        for tag, value in tags.items():
            info.tagtype[tag] = 1 if isinstance(value, bytes) else 4
            info[tag] = value
        content = encoded(Image.fromarray(noise(16, 16)), "TIFF", tiffinfo=info)
        with pytest.raises(ImageError, match="the thumbnail of a camera's raw file"):
            read_square(io.BytesIO(content), 16)


@pytest.mark.parametrize(
    ("tag", "kind", "value"),
    [(254, 2, "words"), (254, 12, 1.5), (281, 2, "words"), (341, 12, float("inf"))],
)
def test_a_tag_of_another_type_makes_a_file_one_that_cannot_be_read(
    tag: int, kind: int, value: object
) -> None:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info.tagtype[tag] = kind
    info[tag] = value
    content = encoded(Image.fromarray(noise(16, 16)), "TIFF", tiffinfo=info)
    with pytest.raises(ImageError, match="cannot be read as an image"):
        read_square(io.BytesIO(content), 16)


class TestHeic:
    @pytest.fixture
    def lacking(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(decoders, "find_spec", lambda _: None)
        decoders._has_decoder.cache_clear()
        yield
        decoders._has_decoder.cache_clear()

    @pytest.mark.usefixtures("lacking")
    def test_the_package_that_decodes_it_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "IMG_0001.HEIC"
        path.write_bytes(struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic")

        with pytest.raises(
            ImageError, match=r"0001\.HEIC cannot be read here: HEIC needs a package"
        ):
            read_square(path, 16)
        with pytest.raises(ImageError, match=r"pip install 'resnet-tune\[heif\]'"):
            read_square(path, 16)

    def test_a_photograph_is_read_upright(self) -> None:
        pillow_heif = pytest.importorskip("pillow_heif")
        turned = ramp(64).transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[ORIENTATION] = ROTATED
        buffer = io.BytesIO()
        pillow_heif.from_pillow(turned).save(buffer, exif=exif.tobytes(), quality=90)

        square = read_square(buffer, 16).astype(int)

        assert square[0].max() < 30
        assert square[-1].min() > 225
        with pytest.raises(ImageError, match="cannot be read as an image"):
            read_square(io.BytesIO(buffer.getvalue()[:-200]), 16)
