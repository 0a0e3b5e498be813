"""What a metric is, and how one is registered: in `metrics.py` beside this, or by a plugin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from trainable.registries import METRICS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trainable.config import ObjectiveConfig
    from trainable.judging.predictions import Predictions

Goal = Literal["maximize", "minimize"]
Compute = Callable[[Any], float]
"""Computes a measure of :class:`~trainable.judging.predictions.Predictions`; a light one of a
:class:`~trainable.judging.measures.Draw` too."""
Hits = Callable[["Predictions"], "NDArray[np.bool_]"]
"""Says which images count, of shape (N,)."""
Bind = Callable[["ObjectiveConfig", Sequence[str]], Compute]
"""Makes what computes a measure for a config and the names of the classes, or says that it cannot
be computed, as a :class:`ValueError`."""


@dataclass(frozen=True)
class Metric:
    """A measure of predictions that a search can be after.

    Attributes:
        name: As an epoch reports it and a config names it, such as `val_acc`.
        quantity: The same in words, without the split: `accuracy`.
        goal: Whether more of it is better, or less.
        of: Computes it from predictions.
        is_share: Whether it goes from 0 to 1 and is shown in percent.
        by_class: Whether it counts every class alike, however few images one has.
        of_labels: Whether answers decide it alone, and no probability.
        is_light: Whether `of` takes a :class:`~trainable.judging.measures.Draw` too.
        of_one: Whether it is of images that have one label each.
        hits: Says of which images it is the share, if it is one: then tests of shares apply.
        bind: Makes `of` for a search, where it depends on more than predictions.
    """

    name: str
    quantity: str
    goal: Goal
    of: Compute
    is_share: bool = False
    by_class: bool = False
    of_labels: bool = False
    is_light: bool = False
    of_one: bool = False
    hits: Hits | None = None
    bind: Bind | None = None


def validation_metric(
    name: str,
    quantity: str,
    goal: Goal,
    *,
    is_share: bool = False,
    by_class: bool = False,
    of_labels: bool | None = None,
    is_light: bool = False,
    of: Literal["any", "one"] = "any",
    hits: Hits | None = None,
    bind: Bind | None = None,
) -> Callable[[Compute], Compute]:
    """A decorator that registers a function of predictions as an objective.

    Args:
        name: For configs, records and studies; it starts with `val_`.
        quantity: In words, without the split.
        goal: `maximize` or `minimize`.
        is_share: Whether it goes from 0 to 1.
        by_class: Whether it counts every class alike: then it is resampled class by class.
        of_labels: Whether answers decide it alone; by default as `is_share`.
        is_light: Whether the function takes a :class:`~trainable.judging.measures.Draw` too.
        of: `one` where it is of images that have one label each.
        hits: Of which images it is the share, if it is one: a mask of shape (N,).
        bind: Makes the function for a search, where it depends on more than predictions.
    """
    if not name.startswith("val_"):
        raise ValueError(f"metric {name}: a name starts with val_, since only validation selects")
    labels = is_share if of_labels is None else of_labels

    def add(compute: Compute) -> Compute:
        metric = Metric(
            name=name,
            quantity=quantity,
            goal=goal,
            of=compute,
            is_share=is_share,
            by_class=by_class,
            of_labels=labels,
            is_light=is_light,
            of_one=of == "one",
            hits=hits,
            bind=bind,
        )
        METRICS.register(name, by=compute)(metric)
        return compute

    return add
