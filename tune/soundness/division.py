"""How a search would split the images, before any is decoded for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainable.config import DataConfig
from trainable.data.parts import SPLITS, Parts, SplitName
from trainable.data.splitting.content_split import ContentSplit
from trainable.data.splitting.random_split import split_at_random
from tune.soundness.survey import Survey


@dataclass(frozen=True, eq=False)
class Division:
    """What a search would train, validate and test on.

    Attributes:
        counts: Images by class and split: int64 of shape (classes, 3). One with several labels
            counts for each.
        images: Images by split.
        notes: What is done otherwise than the config says, in words.
        error: Why the images cannot be split, if they cannot.
    """

    counts: NDArray[np.int64]
    images: tuple[int, ...] = (0, 0, 0)
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
        groups={
            name: [survey.group_names[i] for i in at]
            for name, at in places.items()
            if survey.group_names
        },
    )
    notes: tuple[str, ...] = ()
    try:
        if survey.refused:
            raise ValueError(survey.refused)
        if config.split_rule == 1:
            indices = split_at_random(parts, config)
        else:
            rule = ContentSplit(parts, survey.together[places["train"]])
            indices, notes = rule.indices(config), rule.notes
    except ValueError as error:
        empty = np.zeros((len(survey.classes), len(SPLITS)), np.int64)
        return Division(empty, error=str(error))
    chosen = [_chosen(places, indices, name) for name in SPLITS]
    images = tuple(map(len, chosen))
    splits = np.repeat(np.arange(len(SPLITS)), images)
    return Division(survey.counts_of(np.concatenate(chosen), splits), images, notes)


def _chosen(
    places: dict[SplitName, NDArray[np.int64]],
    indices: dict[SplitName, NDArray[np.int64]],
    name: SplitName,
) -> NDArray[np.int64]:
    """The images of a split, of indices into the source's splits."""
    of = places.get(name, places["train"])
    return of[indices[name]] if name in indices else of
