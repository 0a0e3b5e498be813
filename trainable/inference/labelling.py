"""Many image files labelled: threads decode while the network looks at those before."""

from __future__ import annotations

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

from trainable.data.decoding import ImageError
from trainable.inference.classifier import Classifier

BATCH: Final = 64
"""Images that the network sees at once."""
_AHEAD: Final = 4
"""Batches that are decoded before the network comes to them."""

ImageSource = Path | BinaryIO


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
