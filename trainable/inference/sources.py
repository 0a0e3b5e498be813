"""The images that a user names: files, folders, or standard input."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from trainable.data.decoding import MAX_BYTES
from trainable.data.image_folder import image_files, no_image_in
from trainable.inference.labelling import ImageSource

STANDARD_INPUT: Final = "-"


class _Upload(io.BytesIO):
    """The bytes of an image from standard input."""

    name = STANDARD_INPUT


def find_images(words: Sequence[str], stdin: BinaryIO) -> tuple[list[ImageSource], list[str]]:
    """The images that words name, and a line for each word that names none.

    Args:
        words: Paths of files or folders, or `-` for one image on standard input.
        stdin: Standard input, read only where `-` asks for it.
    """
    sources: list[ImageSource] = []
    problems: list[str] = []
    for word in words:
        if word == STANDARD_INPUT:
            sources.append(_Upload(stdin.read(MAX_BYTES + 1)))
        elif Path(word).is_dir():
            found = image_files(Path(word))
            sources += found
            problems += [] if found else [no_image_in(Path(word))]
        else:
            sources.append(Path(word))
    return sources, problems


def name_of(source: ImageSource) -> str:
    """The name of an image, as a user has given it."""
    return str(source) if isinstance(source, Path) else source.name
