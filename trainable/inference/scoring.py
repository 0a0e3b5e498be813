"""What a classifier answers to labelled images: as a server would answer to their files."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.data.decoding.image_file import as_png
from trainable.data.hashing import hash_file
from trainable.data.split import Split
from trainable.device import available_cores
from trainable.inference.classifier import Classifier
from trainable.inference.labelling import BATCH, ImageSource, label
from trainable.judging.predictions import Predictions
from trainable.judging.probabilities import logits_of


def score(classifier: Classifier, split: Split, classes: Sequence[str]) -> Predictions:
    """Show a classifier the images of a split.

    It sees what it would see in a server, in float32: images that come from files are decoded to
    its own size, and not scaled from what another model was trained on. Its calibration is left
    out: it changes no label, and models are compared by what they have learned.

    Args:
        classifier: The model.
        split: The images.
        classes: The names that the split's labels mean.

    Returns:
        Predictions in the order of `classes`, in double precision, in which no two probabilities
        have the same logarithm.

    Raises:
        ValueError: The classifier has other classes, or a file cannot be read any more.
    """
    if classifier.spec.several is not (split.truth is not None):
        raise ValueError("of the model and the images, one has one label an image, the other any")
    if set(classifier.spec.classes) != set(classes):
        raise ValueError("the model has other classes than the images")
    order = [classifier.spec.classes.index(name) for name in classes]
    with _all_cores():
        probabilities = np.concatenate(list(_answers(classifier.uncalibrated, split)))
    logits = logits_of(probabilities[:, order], several=classifier.spec.several)
    return Predictions(torch.from_numpy(logits), split.labels, split.truth)


def _answers(classifier: Classifier, split: Split) -> Iterator[NDArray[np.float32]]:
    """Class probabilities, so many images at a time."""
    if not split.files and split.images.shape[-1] == classifier.spec.stored_side:
        for images in split.images.split(BATCH):
            yield classifier.probabilities(images)
        return
    _check_unchanged(split)
    sources: Sequence[ImageSource] = split.files or [_file_of(image) for image in split.images]
    for answer in label(classifier, sources):
        if isinstance(answer.probabilities, ValueError):
            raise answer.probabilities
        yield answer.probabilities[None]


def _check_unchanged(split: Split) -> None:
    """Check that the files are those that were split.

    Raises:
        ValueError: One is not: it could be an image that the model was trained on.
    """
    for path, known in zip(split.files, split.hashes.tolist(), strict=False):
        # What is not there any more is reported where it is decoded.
        if path.is_file() and hash_file(path) != known:
            raise ValueError(f"{path} has changed since the images were loaded")


def _file_of(image: Tensor) -> io.BytesIO:
    return io.BytesIO(as_png(image.permute(1, 2, 0).numpy()))


@contextmanager
def _all_cores() -> Iterator[None]:
    """Compute with all cores: a trial before may have left this process fewer."""
    before = torch.get_num_threads()
    torch.set_num_threads(available_cores())
    try:
        yield
    finally:
        torch.set_num_threads(before)
