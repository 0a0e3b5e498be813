"""How a search would split the images, before any is decoded for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainable.config import DataConfig
from trainable.data.parts import SPLITS, Parts, SplitName
from trainable.data.splitting.content_split import ContentSplit
from trainable.data.splitting.random_split import split_at_random
from tune.soundness.survey import Survey, count_images


@dataclass(frozen=True, eq=False)
class Division:
    """What a search would train, validate and test on.

    Attributes:
        counts: Images by class and split: int64 of shape (classes, 3).
        notes: What is done otherwise than the config says, in words.
        error: Why the images cannot be split, if they cannot.
    """

    counts: NDArray[np.int64]
    notes: tuple[str, ...] = ()
    error: str | None = None


def divide(survey: Survey, config: DataConfig) -> Division:
    """Split surveyed images as a search with this config would."""
    places = {name: np.flatnonzero(survey.splits == SPLITS.index(name)) for name in survey.given}
    parts = Parts(
        images={name: np.empty((len(at), 0, 0, 3), np.uint8) for name, at in places.items()},
        labels={name: survey.labels[at] for name, at in places.items()},
        classes=survey.classes,
        files={name: [survey.files[i] for i in at] for name, at in places.items() if survey.files},
        hashes={name: survey.hashes[at] for name, at in places.items()},
    )
    notes: tuple[str, ...] = ()
    try:
        if config.split_rule == 1:
            indices = split_at_random(parts, config)
        else:
            rule = ContentSplit(parts, survey.together[places["train"]])
            indices, notes = rule.indices(config), rule.notes
    except ValueError as error:
        empty = np.zeros((len(survey.classes), len(SPLITS)), np.int64)
        return Division(empty, error=str(error))
    return Division(_count(survey, places, indices), notes)


def _count(
    survey: Survey,
    places: dict[SplitName, NDArray[np.int64]],
    indices: dict[SplitName, NDArray[np.int64]],
) -> NDArray[np.int64]:
    """Images by class and split, of indices into the source's splits."""
    chosen, splits = [], []
    for number, name in enumerate(SPLITS):
        of = places.get(name, places["train"])
        chosen.append(of[indices[name]] if name in indices else of)
        splits.append(np.full(len(chosen[-1]), number))
    every = np.concatenate(chosen)
    return count_images(survey.labels[every], np.concatenate(splits), len(survey.classes))
