"""What earlier searches found, as points that a new one tries first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from pydantic import ValidationError

from trainable.data.datasets import Dataset
from tune.config.points import BATCH, DEPTH, LR, NOT_OF_POINTS, OPTIMIZER, Point
from tune.config.schema import SearchConfig
from tune.errors import ConfigError, squeeze
from tune.strategy.confirmation import finalists
from tune.strategy.portfolio import read_search
from tune.study.definition import read_definitions
from tune.study.fingerprints import hash_classes
from tune.study.search import Search
from tune.study.storage import is_there, storage_url

MOST_POINTS: Final = 2
"""The points that earlier searches give, at most."""
MOST_READ: Final = 20
"""The studies that are read for them, at most."""


def remembered(config: SearchConfig, dataset: Dataset) -> tuple[Point, ...]:
    """The best trials of earlier searches that had the same images, or else the same classes.

    Of each search its best complete trial; those on the same images first, then the latest. They
    started from the same weights, and were after the same objective.

    Args:
        config: A new search, whose weights are decided.
        dataset: Its images.
    """
    url = storage_url(config)
    if not config.strategy.transfer or config.sampler.points or not is_there(url):
        return ()
    try:
        earlier = read_definitions(url)
    except ConfigError:  # the search complains itself when it opens its study
        return ()
    same = [search for search in earlier if _is_alike(search.config, config)]
    fingerprint, classes = dataset.fingerprint, hash_classes(dataset.classes)
    kin = [search for search in same if search.data_fingerprint == fingerprint]
    kin += [s for s in same if s.classes_hash == classes and s not in kin]
    found = list[Point]()
    for search in kin[:MOST_READ]:
        images = len(dataset.train) if search.data_fingerprint == fingerprint else None
        for point in _best(search, config, f"earlier-{len(found) + 1}", images):
            if point.values not in [each.values for each in found]:
                found.append(point)
        if len(found) == MOST_POINTS:
            break
    return tuple(found)


def _is_alike(earlier: SearchConfig, config: SearchConfig) -> bool:
    """Whether a trial of one search says something about a trial of another."""
    return (
        earlier.objective == config.objective
        and earlier.model.weights == config.model.weights
        and set(earlier.archs) == set(config.archs)
    )


def _best(search: Search, config: SearchConfig, name: str, images: int | None) -> Iterator[Point]:
    """The best complete trial of a search, if it has one, as a point of another search.

    Args:
        search: The search.
        config: The other search.
        name: The point's name.
        images: How many training images both have; None where they are not the same images.
    """
    try:
        ledger = read_search(search)
    except ConfigError:  # it was deleted meanwhile
        return
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
