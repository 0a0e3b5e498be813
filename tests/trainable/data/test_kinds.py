"""Which files are images: by their first bytes, or by a usual suffix."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainable.data.decoding.kinds import HEAD, KINDS, kind_of, what_else, why_no_image
from trainable.data.forms.image_folder import image_files


def encoded(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 30, 30)).save(buffer, kind, **options)
    return buffer.getvalue()


def iso_media(*brands: bytes) -> bytes:
    return struct.pack(">I", 8 + 4 * len(brands)) + b"ftyp" + b"".join(brands) + bytes(40)


def of(content: bytes) -> str | None:
    kind = kind_of(content[:HEAD])
    return kind.name if kind else None


@pytest.mark.parametrize("name", [kind.name for kind in KINDS if kind.name != "HEIF"])
def test_what_pillow_writes_is_known_by_its_first_bytes(name: str) -> None:
    assert of(encoded(name)) == name


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (encoded("MPO"), "JPEG"),
        (encoded("JPEG2000", no_jp2=True), "JPEG2000"),
        (encoded("TIFF", big_tiff=True), "TIFF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"P2\n# a comment\n2 2\n255\n", "PPM"),
        (iso_media(b"heic", b"\0\0\0\0", b"mif1", b"heic"), "HEIF"),
        (iso_media(b"mif1", b"\0\0\0\0", b"mif1", b"heic", b"miaf"), "HEIF"),
        (iso_media(b"mif1", b"\0\0\0\0", b"mif1", b"avif", b"miaf"), "AVIF"),
    ],
)
def test_so_are_their_variants(content: bytes, name: str) -> None:
    assert of(content) == name


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty"),
        ("Was für Bilder das sind\n".encode(), "text"),
        (b"BMW and other cars, in a file whose first letters are those of a bitmap", "text"),
        (b"P6 is a class of rooms", "text"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b'<?xml version="1.0"?><svg', "SVG"),
        (encoded("PDF"), "PDF"),
        (encoded("EPS"), "PostScript"),
        (encoded("ICO"), "an icon"),
        (b"8BPS\0\1", "PSD"),
        (b"PK\3\4", "an archive"),
        (iso_media(b"isom", b"\0\0\2\0", b"isom", b"iso2", b"avc1"), "a video"),
        (iso_media(b"crx ", b"\0\0\0\1", b"crx ", b"isom"), "a camera's raw file"),
        (b"II*\0\x10\0\0\0CR\2\0", "a camera's raw file"),
        (b"\0\0\0\1Bud1\0", "of no known format"),  # .DS_Store
    ],
)
def test_what_is_no_image_is_called_by_its_name(content: bytes, what: str) -> None:
    assert of(content) is None
    assert what_else(content[:HEAD]) == what


class TestListing:
    def test_content_decides_where_the_suffix_does_not(self, tmp_path: Path) -> None:
        contents = {
            "0.jpg": encoded("PNG"),
            "1": encoded("JPEG"),
            "2.jfif": encoded("JPEG"),
            "3.gif": encoded("GIF"),
            "4.download": encoded("AVIF"),
            "README.txt": b"words",
            "5.dng": encoded("TIFF"),
            "6.TIFF": encoded("TIFF"),
        }
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)

        found = [path.name for path in image_files(tmp_path)]

        assert found == ["0.jpg", "1", "2.jfif", "3.gif", "4.download", "6.TIFF"]
        assert why_no_image(tmp_path / "README.txt") == "text"
        assert why_no_image(tmp_path / "5.dng") == "a camera's raw file"

    def test_a_file_with_a_usual_suffix_is_not_opened(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(3):
            (tmp_path / f"{number}.JPG").write_bytes(encoded("JPEG"))
        monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("a file was opened"))

        assert len(image_files(tmp_path)) == 3

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes there")
    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")

        assert image_files(tmp_path) == []

    def test_a_file_that_may_not_be_read_is_left_out_with_that_reason(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)  # root may read everything

        assert why_no_image(tmp_path / "picture") == "Permission denied"


def test_the_suffixes_are_those_that_pillow_knows() -> None:
    known = Image.registered_extensions()
    of_names = {suffix: kind.name for kind in KINDS for suffix in kind.suffixes}
    missing = {
        suffix
        for suffix, name in known.items()
        if name in {kind.name for kind in KINDS} and suffix not in of_names
    }
    assert missing <= {".dib"}  # bitmaps without the header that they are known by
    wrong = {s for s, name in of_names.items() if known.get(s, name) not in {name, "MPO"}}
    assert not wrong


def test_what_is_no_format_at_all_is_no_image() -> None:
    draw = np.random.default_rng(0)
    heads = draw.integers(0, 256, (2000, HEAD), np.uint8)
    assert not any(kind_of(head.tobytes()) for head in heads)
    assert {what_else(head.tobytes()) for head in heads} == {"of no known format"}
