"""A classifier on image files whose labels are known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.data.decoding.image_file import ImageError
from trainable.inference.classifier import Classifier
from trainable.inference.labelled import LabelledFile, truth_of
from trainable.inference.labelling import Answer
from trainable.judging.predictions import Predictions
from trainable.judging.probabilities import logits_of


@dataclass(frozen=True, eq=False)
class Judged:
    """What a classifier says of labelled files.

    Attributes:
        files: Those that could be read.
        predictions: On them, in their order.
        problems: A line for each file that could not be read.
    """

    files: tuple[LabelledFile, ...]
    predictions: Predictions
    problems: tuple[str, ...]


def unseen_files(
    classifier: Classifier, files: Sequence[LabelledFile]
) -> tuple[list[LabelledFile], int | None]:
    """The files that a classifier, or its search, was not trained or validated on.

    Returns:
        Those of which neither they nor a copy was seen, and how many others there are; of a
        classifier that does not say what it has seen all files, and None.
    """
    seen, side = classifier.seen, classifier.spec.stored_side
    if seen is None:
        return list(files), None

    def is_seen(file: LabelledFile) -> bool:
        try:
            return seen.has_seen(file.path, side)
        except (ImageError, OSError):  # which is reported where its label is asked for
            return False

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        known = list(pool.map(is_seen, (file for file in files)))
    fresh = [file for file, is_known in zip(files, known, strict=True) if not is_known]
    return fresh, len(files) - len(fresh)


def judge(
    files: Sequence[LabelledFile],
    answers: Iterable[Answer],
    classes: int,
    *,
    several: bool = False,
) -> Judged:
    """Compare a classifier's answers to files with their labels.

    Args:
        files: The files.
        answers: To each of them, in their order.
        classes: How many classes there are.
        several: Whether an image may have any number of labels.
    """
    kept: list[LabelledFile] = []
    rows: list[NDArray[np.float64]] = []
    problems: list[str] = []
    for file, answer in zip(files, answers, strict=True):
        if isinstance(answer.probabilities, ImageError):
            problems.append(str(answer.probabilities))
        else:
            kept.append(file)
            rows.append(answer.probabilities.astype(np.float64))
    probabilities = np.array(rows).reshape(len(rows), classes)
    logits = torch.from_numpy(logits_of(probabilities, several=several))
    labels, truth = truth_of(kept, classes, several=several)
    return Judged(tuple(kept), Predictions(logits, labels, truth), tuple(problems))
