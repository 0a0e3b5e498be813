"""What the samples of files mean: ranges, transparency, colour spaces, orientation."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from trainable.data.decoding.image_file import ImageError, read_both, read_square

RED, GREEN = (200, 30, 30), (20, 160, 40)
MAX_VALUE, S_MAX_VALUE = 281, 341
"""TIFF's tags of the greatest value."""


def shades(file: bytes | Path) -> NDArray[np.int64]:
    """What is read of an image of 16 pixels a side."""
    source = io.BytesIO(file) if isinstance(file, bytes) else file
    return read_square(source, 16).astype(np.int64)


def encoded(image: Image.Image | NDArray[Any], kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def ramp(white: float, kind: type[np.generic] = np.uint16) -> NDArray[Any]:
    """From black at the left to white at the right."""
    return np.tile(np.linspace(0, white, 16).astype(kind), (16, 1))


RAMP = np.repeat(ramp(255, np.uint8)[..., None], 3, axis=2).astype(int)


def chunk(name: bytes, content: bytes) -> bytes:
    code = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + code


def wide_png(colours: NDArray[np.uint16], transparent: tuple[int, ...] = ()) -> bytes:
    """A PNG of 16 bits, of grey or of red, green and blue, which Pillow itself does not write."""
    height, width = colours.shape[:2]
    kind = 2 if colours.ndim == 3 else 0
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colours)
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))]
    if transparent:
        parts.append(chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)))
    parts += [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(values: NDArray[Any], *, order: str = "<", **tags: int) -> bytes:
    """A TIFF of one strip, with the tags that are given by number (`t259=8` compresses it)."""
    bands = values.shape[2] if values.ndim == 3 else 1
    height, width = values.shape[:2]
    bits = values.dtype.itemsize * 8
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    pixels = values.astype(values.dtype.newbyteorder(order)).tobytes()
    pixels = zlib.compress(pixels) if tags.get("t259") == 8 else pixels
    known = {256: width, 257: height, 258: bits, 259: 1, 262: 2 if bands > 1 else 1, 273: 0}
    known |= {277: bands, 278: height, 279: len(pixels), 339: kind}
    known |= {int(name[1:]): value for name, value in tags.items()}
    after = 8 + 2 + 12 * len(known) + 4
    start = after + 4 * bands
    entries = b""
    for tag, value in sorted((known | {273: start}).items()):
        if tag in {258, 339} and bands > 1:  # a number a band, which lies behind the others
            where = after if tag == 258 else after + 2 * bands
            entries += struct.pack(f"{order}HHII", tag, 3, bands, where)
        elif value < 2**16:
            entries += struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0)
        else:
            entries += struct.pack(f"{order}HHII", tag, 4, 1, value)
    behind = struct.pack(f"{order}{2 * bands}H", *[known[258]] * bands, *[known[339]] * bands)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(known))
    return head + entries + bytes(4) + behind + pixels


class TestSixteenBits:
    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "JPEG2000"])
    def test_grey_keeps_its_eight_highest_bits(self, kind: str) -> None:
        values = ramp(65_535)
        expected = np.repeat((values // 256)[..., None], 3, axis=2)
        assert np.abs(shades(encoded(values, kind)) - expected).max() <= 0

    def test_so_do_colours(self) -> None:
        colours = np.stack([ramp(65_535), ramp(20_000), ramp(0)], axis=2)
        for file in (wide_png(colours), tiff(colours), tiff(colours, order=">")):
            np.testing.assert_array_equal(shades(file), colours // 256)

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_the_order_of_bytes_does_not_matter(self, order: str) -> None:
        read = shades(tiff(ramp(65_535), order=order))
        np.testing.assert_array_equal(read[..., 0], ramp(65_535) // 256)

    def test_where_zero_is_white_the_shades_are_turned_round(self) -> None:
        dark_is_high = 65_535 - ramp(65_535)
        np.testing.assert_array_equal(shades(tiff(dark_is_high, t262=0)), RAMP)

    def test_a_colour_that_is_transparent_is_seen_as_the_background(self) -> None:
        values = ramp(65_535)
        read = shades(wide_png(values, (int(values[0, 7]),)))
        assert (read[:, 7] == 255).all()
        np.testing.assert_array_equal(
            np.delete(read, 7, 1)[0, :, 0], np.delete(values[0], 7) // 256
        )


class TestTwelveBitsInSixteen:
    @pytest.mark.parametrize("tag", ["t281", "t341"])
    @pytest.mark.parametrize("greatest", [4095, 3000])
    def test_the_tag_of_the_greatest_value_says_so(self, tag: str, greatest: int) -> None:
        """It may be that of this image, and what follows for its bits is the same."""
        values = ramp(greatest)
        read = shades(tiff(values, **{tag: greatest}))
        np.testing.assert_array_equal(read[..., 0], values // 16)

    def test_packed_bits_say_so(self) -> None:
        values = ramp(4095).astype(np.uint32)
        pairs = (values[:, ::2] << 12) | values[:, 1::2]
        packed = np.stack([pairs >> 16, (pairs >> 8) & 255, pairs & 255], axis=2).astype(np.uint8)
        file = tiff(packed.reshape(16, 24), t256=16, t258=12)
        np.testing.assert_array_equal(shades(file)[..., 0], values // 16)

    def test_a_portable_map_says_so(self) -> None:
        body = ramp(4095).astype(">u2").tobytes()
        read = shades(b"P5 16 16 4095\n" + body)
        assert np.abs(read[..., 0] - ramp(4095) // 16).max() <= 1

    def test_otherwise_it_would_be_black_and_is_refused(self) -> None:
        grey, colours = ramp(4095), np.stack([ramp(4095)] * 3, axis=2)
        for file in (encoded(grey, "PNG"), tiff(grey), encoded(grey, "PPM")):
            with pytest.raises(
                ImageError, match=r"no value is above 4,095, .* save it with 8 bits"
            ):
                shades(file)
        for file in (wide_png(colours), tiff(colours)):
            with pytest.raises(ImageError, match="no colour is above 4,095"):
                shades(file)

    def test_colours_of_fewer_bits_than_are_stored_are_refused(self) -> None:
        colours = np.stack([ramp(16_383)] * 3, axis=2)
        with pytest.raises(ImageError, match="its colours have 14 bits in 16"):
            shades(tiff(colours, t281=16_383))

    def test_a_black_image_is_black_in_any_range(self) -> None:
        assert not shades(encoded(ramp(0), "PNG")).any()


class TestThirtyTwoBits:
    def test_values_of_eight_bits_are_taken_as_they_are(self) -> None:
        for values in (ramp(255, np.int32), ramp(255, np.uint32), ramp(255, np.float32)):
            np.testing.assert_array_equal(shades(tiff(values)), RAMP)

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("compression", [1, 8])
    @pytest.mark.parametrize("kind", [np.int16, np.int32, np.float32])
    def test_neither_order_of_bytes_nor_compression_matters(
        self, kind: type[np.generic], compression: int, order: str
    ) -> None:
        read = shades(tiff(ramp(255, kind), order=order, t259=compression))
        np.testing.assert_array_equal(read, RAMP)

    def test_the_tag_of_the_greatest_value_says_how_many_bits_there_are(self) -> None:
        values = ramp(65_535, np.int32)
        read = shades(tiff(values, t281=65_535))
        np.testing.assert_array_equal(read[..., 0], values // 256)

    @pytest.mark.parametrize(
        ("values", "named"),
        [
            (ramp(3071, np.int32), "from 0 to 3,071"),
            (ramp(65_535, np.uint32), "from 0 to 65,535"),
            (ramp(3071, np.int16) - np.int16(1024), "from -1,024 to 2,047"),
        ],
    )
    def test_other_ranges_are_refused(self, values: NDArray[Any], named: str) -> None:
        with pytest.raises(ImageError, match=f"{named}, and it does not say which are black"):
            shades(tiff(values))

    def test_floats_from_0_to_1_are_scaled(self) -> None:
        read = shades(tiff(ramp(1, np.float32)))
        assert np.abs(read - RAMP).max() <= 1
        assert (read[0, 0, 0], read[0, -1, 0]) == (0, 255)

    @pytest.mark.parametrize(
        "values", [(0, 0.05), (0, 1.2), (0, 300), (-0.5, 1), (0, np.nan), (0, np.inf)]
    )
    def test_floats_of_another_range_are_refused(self, values: tuple[float, float]) -> None:
        pixels = np.zeros((16, 16), np.float32)
        pixels[0, :2] = values
        with pytest.raises(ImageError, match="floats are taken from 0 to 1, or from 0 to 255"):
            shades(tiff(pixels))


class TestTransparency:
    def test_it_is_seen_over_white(self) -> None:
        pixels = np.zeros((16, 16, 4), np.uint8)
        pixels[..., :3] = RED
        pixels[:8, :, 3], pixels[8:, :, 3] = 255, 102  # four tenths
        image = Image.fromarray(pixels)
        for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})):
            read = shades(encoded(image, kind, **options))
            assert (read[:8] == RED).all(), kind
            assert np.abs(read[8:] - [233, 165, 165]).max() <= 1, kind

    def test_grey_has_it_too(self) -> None:
        grey = np.full((16, 16, 2), (100, 255), np.uint8)
        grey[8:, :, 1] = 0
        read = shades(encoded(Image.fromarray(grey, "LA"), "PNG"))
        assert (read[:8] == 100).all()
        assert (read[8:] == 255).all()

    def test_so_has_a_palette(self) -> None:
        image = Image.new("P", (16, 16))
        image.putpalette([*RED, *GREEN])
        image.paste(1, (0, 8, 16, 16))
        for kind, options in (("PNG", {}), ("GIF", {}), ("PNG", {"transparency": b"\xff\0"})):
            read = shades(encoded(image, kind, **{"transparency": 1, **options}))
            assert (read[:8] == RED).all(), (kind, options)
            assert (read[8:] == 255).all(), (kind, options)

    def test_so_have_one_colour_and_one_shade(self) -> None:
        image = Image.new("RGB", (16, 16), RED)
        image.paste(GREEN, (0, 8, 16, 16))
        read = shades(encoded(image, "PNG", transparency=GREEN))
        assert (read[:8] == RED).all()
        assert (read[8:] == 255).all()
        grey = Image.new("L", (16, 16), 90)
        grey.paste(7, (0, 8, 16, 16))
        assert (shades(encoded(grey, "PNG", transparency=7))[8:] == 255).all()

    def test_colours_that_were_multiplied_by_it_are_divided(self) -> None:
        pixels = np.full((16, 16, 4), (100, 15, 15, 128), np.uint8)
        read = shades(tiff(pixels, t338=1))  # as its extra channel says
        assert np.abs(read - [227, 142, 142]).max() <= 2  # half of red, half of white

    def test_a_channel_in_which_nothing_is_seen_is_none(self) -> None:
        image = Image.new("RGBA", (16, 16), (*RED, 0))
        assert (shades(encoded(image, "PNG")) == RED).all()

    @pytest.mark.parametrize("mode", ["L", "RGB", "P"])
    def test_an_opaque_image_is_what_it_is_without_its_channel(self, mode: str) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
        plain = Image.fromarray(pixels).convert(mode)
        opaque = plain.convert({"L": "LA", "RGB": "RGBA", "P": "RGBA"}[mode])
        np.testing.assert_array_equal(shades(encoded(opaque, "PNG")), shades(encoded(plain, "PNG")))


class TestColourSpaces:
    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"])
    def test_each_ends_as_rgb(self, mode: str) -> None:
        image = Image.new("RGB", (16, 16), (255, 255, 255)).convert(mode)
        assert (shades(encoded(image, "TIFF")) == 255).all()

    @pytest.mark.parametrize("kind", ["JPEG", "TIFF", "JPEG2000"])
    def test_ink_is_not_taken_for_light(self, kind: str) -> None:
        """Adobe's JPEGs store it inverted, as Pillow writes them; the others do not."""
        image = Image.new("RGB", (16, 16), RED).convert("CMYK")
        assert np.abs(shades(encoded(image, kind)) - RED).max() <= 8

    def test_lab_is_converted(self) -> None:
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = Image.new("RGB", (16, 16), RED)
        converted = ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
        assert converted is not None
        assert np.abs(shades(encoded(converted, "TIFF")) - RED).max() <= 3


class TestFrames:
    @pytest.mark.parametrize(
        ("kind", "options"),
        [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("AVIF", {})],
    )
    def test_the_first_of_several_is_taken(self, kind: str, options: dict[str, Any]) -> None:
        first, second = Image.new("RGB", (16, 16), RED), Image.new("RGB", (16, 16), GREEN)
        file = encoded(first, kind, save_all=True, append_images=[second, second], **options)
        assert np.abs(shades(file) - RED).max() <= 4

    def test_so_it_is_of_a_jpeg_of_several_pictures(self, tmp_path: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
        first, second = Image.fromarray(pixels), Image.new("RGB", (400, 300), GREEN)
        path = tmp_path / "stereo.jpg"
        path.write_bytes(encoded(first, "MPO", save_all=True, append_images=[second]))
        with Image.open(path) as image:
            assert image.format == "MPO"

        square, _ = read_both(path, 16)

        assert np.abs(square.astype(int).mean() - pixels.mean()) < 4
        np.testing.assert_array_equal(read_square(path, 16), square)  # predicted as it was trained


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_photograph_stands_upright_in_each_format(kind: str, orientation: int) -> None:
    """A mark in the corner is where whoever took the picture has seen it."""
    upright = np.zeros((16, 16, 3), np.uint8)
    upright[:6, :6] = 255
    upright[:3, 6:12] = 255
    turned = Image.fromarray(upright)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # from the upright picture to what is stored
    if orientation > 1:
        turned = turned.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    options |= {"quality": 100} if kind in {"JPEG", "AVIF"} else {}

    read = shades(encoded(turned, kind, exif=exif, **options))

    assert ((read > 127) == (upright > 127)).all()
