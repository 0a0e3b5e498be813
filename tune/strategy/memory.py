"""What earlier searches found, as points that a new one tries first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from pydantic import ValidationError

from trainable.config import DataConfig
from trainable.data.datasets import Dataset
from tune.base.errors import ConfigError, squeeze
from tune.config.points import BATCH, DEPTH, LR, NOT_OF_POINTS, OPTIMIZER, Point
from tune.config.schema import SearchConfig
from tune.strategy.confirmation import finalists
from tune.strategy.portfolio import read_search
from tune.study.definition import read_definitions
from tune.study.fingerprints import hash_classes
from tune.study.search import Search
from tune.study.storage import UNUSABLE, holds_studies, storage_url

MOST_POINTS: Final = 2
"""The points that earlier searches give, at most."""
MOST_READ: Final = 20
"""The searches whose trials are read for them, at most."""

_SPLIT: Final = ("name", "val_fraction", "test_fraction", "fold", "group")
"""Keys that decide which of the same images are tested; a name can have a partition in it."""


def remembered(
    config: SearchConfig, dataset: Dataset, weights_hash: str | None
) -> tuple[Point, ...]:
    """The best trials of earlier searches that had the same images, or else the same classes.

    Of each search its best complete trial; those on the same images first, then the latest. They
    started from the same weights, and were after the same objective.

    Args:
        config: A new search, whose weights are decided.
        dataset: Its images.
        weights_hash: The hash of its first weights; None where they are random.
    """
    url = storage_url(config)
    if not config.strategy.transfer or config.sampler.points or not holds_studies(url):
        return ()
    found = list[Point]()
    with suppress(ConfigError, *UNUSABLE):  # the search complains itself when it opens its study
        for search in islice(_kin(url, config, dataset, weights_hash), MOST_READ):
            same = search.data_fingerprint == dataset.fingerprint
            images = len(dataset.train) if same else None
            for point in _best(search, config, f"earlier-{len(found) + 1}", images):
                if point.values not in [each.values for each in found]:
                    found.append(point)
            if len(found) == MOST_POINTS:
                break
    return tuple(found)


def _kin(
    url: str, config: SearchConfig, dataset: Dataset, weights_hash: str | None
) -> Iterator[Search]:
    """The searches of a storage whose trials say something about a trial of this one."""
    fingerprint, classes = dataset.fingerprint, hash_classes(dataset.classes)

    def alike(search: Search) -> bool:
        earlier = search.config
        return (
            earlier.objective == config.objective
            and search.weights_hash == weights_hash
            and set(earlier.archs) == set(config.archs)
        )

    def has_images(content: Mapping[str, Any]) -> bool:
        return content.get("data_fingerprint") == fingerprint

    def has_classes(content: Mapping[str, Any]) -> bool:
        return content.get("classes_hash") == classes and not has_images(content)

    yield from filter(alike, read_definitions(url, has_images))
    for search in filter(alike, read_definitions(url, has_classes)):
        if not is_split_otherwise(search.config.data, config.data):
            yield search


def is_split_otherwise(earlier: DataConfig, data: DataConfig) -> bool:
    """Whether the same images were split in another way: they may have chosen by test images."""
    if (earlier.source, earlier.place) != (data.source, data.place):
        return False
    by_place = {earlier.split_rule == 1, data.split_rule == 1}  # the other rules go by content
    keys = (*_SPLIT, "limit") if by_place == {True} else _SPLIT
    return len(by_place) > 1 or any(getattr(earlier, key) != getattr(data, key) for key in keys)


def _best(search: Search, config: SearchConfig, name: str, images: int | None) -> Iterator[Point]:
    """The best complete trial of a search, if it has one, as a point of another search.

    Args:
        search: The search.
        config: The other search.
        name: The point's name.
        images: How many training images both have; None where they are not the same images.
    """
    ledger = read_search(search)
    for log in finalists(ledger.trials.values(), 1):
        trial = {**search.config.own, **log.params}
        wanted = {*config.space, OPTIMIZER, DEPTH} & set(trial)
        keys = sorted(key for key in wanted if not key.startswith(NOT_OF_POINTS))
        score = f"{ledger.objective.name} {ledger.objective.show(log.score)}"
        on = "these classes" if images is None else "the same images"
        why = f"trial {log.number} of search {search.name}, its best on {on}: {score}"
        batch = trial[BATCH] if images is None else min(trial[BATCH], images)
        with suppress(ValidationError):  # of a plugin that is not here
            yield Point(
                name=name,
                why=squeeze(why, 300),
                values={key: trial[key] for key in keys},
                lr_at_batch=batch if LR in keys else None,
            )
