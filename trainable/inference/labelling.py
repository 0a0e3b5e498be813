"""The image files that a user names, labelled: threads decode ahead of the network."""

from __future__ import annotations

import io
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.data.decoding.image_file import MAX_BYTES, ImageError
from trainable.data.forms.image_folder import image_files, no_image_in
from trainable.files.places import is_folder
from trainable.inference.classifier import Classifier

BATCH: Final = 64
"""Images that the network sees at once."""
_AHEAD: Final = 4
"""Batches that are decoded before the network comes to them."""

ImageSource = Path | BinaryIO
STANDARD_INPUT: Final = "-"


class Upload(io.BytesIO):
    """The bytes of an image that is no file.

    Args:
        content: The bytes.
        name: What errors call it.
    """

    def __init__(self, content: bytes = b"", name: str = STANDARD_INPUT) -> None:
        super().__init__(content)
        self.name = name


def find_images(words: Sequence[str]) -> tuple[list[ImageSource], list[str]]:
    """The images that words name, and a line for each word or folder that gives none.

    Args:
        words: Paths of files or folders, or `-` for one image on standard input.
    """
    sources: list[ImageSource] = []
    problems: list[str] = []
    for word in words:
        if word == STANDARD_INPUT:
            sources.append(Upload(sys.stdin.buffer.read(MAX_BYTES + 1) if sys.stdin else b""))
        elif is_folder(Path(word)):
            unread: list[ValueError] = []
            found = image_files(Path(word), on_error=unread.append)
            sources += found
            problems += map(str, unread)
            problems += [] if found or unread else [no_image_in(Path(word))]
        else:
            sources.append(Path(word))
    return sources, problems


def name_of(source: ImageSource) -> str:
    """The name of an image, as a user has given it."""
    return str(source) if isinstance(source, Path) else source.name


@dataclass(frozen=True, eq=False)
class Answer:
    """What a classifier says of an image.

    Attributes:
        source: The image.
        probabilities: float32 of shape (classes,), or why the image cannot be read.
    """

    source: ImageSource
    probabilities: NDArray[np.float32] | ImageError


def label(classifier: Classifier, sources: Sequence[ImageSource]) -> Iterator[Answer]:
    """Label images, in their order.

    Args:
        classifier: Labels them.
        sources: Paths, or open binary files. One that cannot be read does not stop the others.
    """
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        decoding: deque[Future[list[Tensor | ImageError]]] = deque()
        waiting: deque[Sequence[ImageSource]] = deque()
        for start in range(0, len(sources), BATCH):
            waiting.append(sources[start : start + BATCH])
            decoding.append(pool.submit(_decode, classifier, waiting[-1]))
            if len(waiting) > _AHEAD:
                yield from _answers(classifier, waiting.popleft(), decoding.popleft().result())
        while waiting:
            yield from _answers(classifier, waiting.popleft(), decoding.popleft().result())


def _decode(classifier: Classifier, batch: Sequence[ImageSource]) -> list[Tensor | ImageError]:
    found: list[Tensor | ImageError] = []
    for source in batch:
        try:
            found.append(classifier.read([source]))
        except ImageError as error:
            found.append(error)
    return found


def _answers(
    classifier: Classifier, batch: Sequence[ImageSource], found: Sequence[Tensor | ImageError]
) -> Iterator[Answer]:
    images = [image for image in found if isinstance(image, Tensor)]
    rows = iter(classifier.probabilities(torch.cat(images))) if images else iter(())
    for source, image in zip(batch, found, strict=True):
        yield Answer(source, image if isinstance(image, ImageError) else next(rows))
