"""What is known of a search's data before its first trial, by which a portfolio is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from trainable.config import WEIGHTS_NAMES
from trainable.data.balance import Balance
from trainable.data.datasets import Dataset
from trainable.features.probe import probe
from tune.config.points import Point
from tune.config.schema import SearchConfig

PROBE = "probe_accuracy"

Say = Callable[[str], None]
"""Prints a line."""


def facts_of(
    config: SearchConfig, dataset: Dataset, points: Iterable[Point], say: Say
) -> dict[str, str | int | float]:
    """The facts of a search's data, by the names of `FACTS`.

    The linear classifier is fitted only where a condition asks for it, and says what it took.

    Args:
        config: The search, whose weights are decided.
        dataset: Its images.
        points: What is to be chosen from.
        say: Prints a line.
    """
    weights, images = config.model.weights[0], len(dataset.train)
    facts: dict[str, str | int | float] = {
        "images": images,
        "classes": len(dataset.classes),
        "images_per_class": round(images / len(dataset.classes), 1),
        "imbalance": round(Balance.of(dataset).ratio, 1),
        "image_size": config.data.image_size,
        "weights": weights if weights in WEIGHTS_NAMES else "file",
    }
    if any(PROBE in point.when for point in points) and not dataset.has_several:
        found = probe(config.base, config.runtime())
        facts[PROBE] = round(found.accuracy, 4)
        share = f"{found.accuracy:.1%} of {found.tested} validation images"
        say(f"probe    {share}, by a linear classifier on {found.trained}, {found.seconds:.1f} s")
    return facts


def describe_facts(facts: dict[str, str | int | float]) -> str:
    """The facts in a line."""
    return ", ".join(f"{name} {value}" for name, value in facts.items())
