"""What runs on folds report, and what a refit is worth: as the best configs recorded it.

A config has no luck on folds that its test accuracy has: what it is expected to report on one is
its expected test accuracy, moved as the fold is easier or harder than the test, and noise as one of
the recorded configs had it on all folds. Of what the mean over folds and the test were apart, the
folds have their part, of a variance as one over their images.

A refit reaches as much more than its config's expected test accuracy as it did on average over the
recorded configs. What a search takes of a config's runs, the best of them or their soup, reached no
more than the mean of the runs (`ends.py`), and is given nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from rows import FULL, Array, Record, again_runs, curve_of, images_of, logit, share_of

from trainable.base.folds import ALL
from tune.strategy.folds import FOLD

LEAST: Final = 2
"""Configs on all folds without which it is not known what those are like."""


@dataclass(frozen=True)
class Folding:
    """What a task's folds and refits are like.

    Attributes:
        folds: The names of the folds; none where the validation images are many.
        reached: The logits of the test accuracy that the recorded configs reached, one each.
        added: What each had more on each fold, configs x folds, in logits.
        images: The number of validation images of each fold.
        gain: What a refit's test accuracy has more, in logits.
        growth: How much longer an epoch of a refit is.
    """

    folds: tuple[str, ...]
    reached: Array
    added: Array
    images: tuple[int, ...]
    gain: float
    growth: float

    @classmethod
    def of(cls, records: Sequence[Record], folded: Sequence[Record]) -> Folding | None:
        """Read it from a task's records.

        Args:
            records: Those of the training split; some configs under several seeds.
            folded: Those of folds and refits; of the same configs, or they are left out.

        Returns:
            None where there are no refits.
        """
        reached, usual = _reached(records), _seconds(records)
        folded = [each for each in folded if each["number"] in reached]
        refits = [each for each in folded if "soup_acc" in each]
        if not refits:
            return None
        gains = [
            logit(accuracy) - reached[each["number"]]
            for each in refits
            for accuracy in (each["epochs"][-1]["test_acc"], each["other_acc"])
        ]
        longer = [_median(each) / usual[each["number"]] for each in refits]
        names, numbers, values = _by_fold(folded, reached)
        tested = images_of(records, "test_acc")
        on = [[each for each in folded if each["fold"] == name] for name in names]
        images = tuple(images_of(each, "val_acc") for each in on)
        return cls(
            names,
            np.array([reached[number] for number in numbers]),
            _validations(values, tested / (tested + sum(images))),
            images,
            float(np.mean(gains)),
            float(np.median(longer)),
        )

    def draw(self, expected: Array, drawn: np.random.Generator) -> Array:
        """What a config has more on each fold, by epoch and fold.

        Args:
            expected: The accuracies that it is expected to reach, by epoch.
            drawn: Draws the config that lends it.
        """
        lender = drawn.integers(len(self.added))
        lent = share_of(self.reached[lender])
        scale = np.sqrt(lent * (1 - lent) / (expected * (1 - expected)))
        return scale[:, None] * self.added[lender][None, :]


def images_on(params: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """A run's config, and the fold that it is trained on, if it is."""
    own = dict(params)
    return own, own.pop(FOLD, None)


def _reached(records: Sequence[Record]) -> dict[int, float]:
    """The logit of the test accuracy of each config under the seeds that did not choose it."""
    return {
        number: float(np.mean([curve_of(run)[-1] for run in runs]))
        for number, runs in again_runs(records).items()
    }


def _seconds(records: Sequence[Record]) -> dict[int, float]:
    return {number: _median(runs[-1]) for number, runs in again_runs(records).items()}


def _median(record: Record) -> float:
    return float(np.median([epoch["seconds"] for epoch in record["epochs"]]))


def _by_fold(
    folded: Sequence[Record], reached: Mapping[int, float]
) -> tuple[tuple[str, ...], list[int], Array]:
    """The folds, the configs that ran on all of them, and how far their logits were from the test.

    Returns:
        Names, numbers, and numbers x names.
    """
    last = {
        (each["number"], each["fold"]): logit(each["epochs"][-1]["val_acc"])
        for each in folded
        if each["fold"] != ALL and len(each["epochs"]) == FULL
    }
    names = tuple(sorted({fold for _, fold in last}))
    numbers = sorted({number for number, _ in last})
    whole = [number for number in numbers if all((number, name) in last for name in names)]
    if len(whole) < LEAST:
        return (), [], np.zeros((0, 0))
    apart = [[last[number, name] - reached[number] for name in names] for number in whole]
    return names, whole, np.array(apart).reshape(len(whole), len(names))


def _validations(apart: Array, share: float) -> Array:
    """What is of the folds' images in how far validation and test were apart, configs x folds."""
    if not apart.size:
        return apart
    usual = apart.mean(0)
    rest = (apart - usual) * math.sqrt(len(apart) / (len(apart) - 1))
    own = rest.mean(1, keepdims=True)
    return usual + own * math.sqrt(share) + (rest - own)
