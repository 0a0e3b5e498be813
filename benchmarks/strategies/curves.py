"""Recorded learning curves as a function: what a trial of any config would have reported.

A forest of extremely randomized trees (Geurts et al. 2006) maps a config to the curves of all
recorded lengths at once. A strategy is not replayed on the forest's mean, which is smoother than
any task, but on a *landscape*: a few trees of the forest, drawn anew for each search, as many as
make landscapes differ by what the forest is wrong by (`Surrogate.breadth`). Within a search a
config has one expected curve, however often and under whatever seed it is asked for, so that
nothing is won by asking again. What a run adds to it is noise as it was recorded:
validation's part of how far validation and test were apart, in a run of about the same accuracy,
from

- the mean of its config's runs, where configs were recorded under several seeds;
- else what the forest expects. Runs of one config under several seeds then have more of their own
  than they would, being judged by the same images.

Test accuracies are those that configs are expected to reach, without luck: a few dozen recorded
runs do not tell how much of a run's luck validation and test share, and the luckiest of them, which
searches choose again and again, would decide who wins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from answers import Landscape, Seconds
from folding import Folding
from numpy.typing import NDArray
from rows import (
    COLUMNS,
    FULL,
    Array,
    Record,
    again_runs,
    columns_of,
    curve_of,
    features,
    images_of,
    levels_of,
    row_of,
    share_of,
    whole_runs,
)
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from tasks import LENGTHS

from trainable.seeding import seed_of

TREES: Final = 200
LEAST_TREES, MOST_TREES = 2, 32
"""The trees of a landscape: of a single one, a run would differ from no other of its config."""
ALIKE: Final = 12
"""The runs of about the same accuracy that lend their noise."""
WEIGHTS: Final = {"val_acc": 1.0, "val_loss": 0.3, "test_acc": 1.0}
"""How much the trees split by each."""


class Surrogate:
    """What is known of a task.

    Args:
        records: Its recorded trials.
        folded: Its recorded runs on folds and refits, if there are any.
        engineered: Whether the trees see what configs have in common (:func:`features`).
        forest: What kind of forest: `extra` for extremely randomized trees, or `random`.

    Attributes:
        params: The recorded configs.
        curves: What each reported, by length and column, as numbers of the whole line.
        breadth: The trees of a landscape.
        expected: The test accuracy that each recorded config is expected to reach, by tree.
        folding: What its folds and refits are like; None where none were recorded.
    """

    def __init__(
        self,
        records: Sequence[Record],
        folded: Sequence[Record] = (),
        *,
        engineered: bool = True,
        forest: str = "extra",
    ) -> None:
        self.task, self._engineered = str(records[0]["task"]), engineered
        runs = whole_runs(records)
        self.params = [run[0]["params"] for run in runs]
        self.curves = np.array([row_of(run) for run in runs])
        self._inputs = self._features(self.params)
        self._scale = np.concatenate(
            [np.full(length, WEIGHTS[name]) for length in LENGTHS for name in COLUMNS]
        ) / (self.curves.std(0) + 1e-6)
        kind = ExtraTreesRegressor if forest == "extra" else RandomForestRegressor
        self._forest = kind(TREES, bootstrap=True, max_features=0.7, random_state=0, n_jobs=1).fit(
            self._inputs, self.curves * self._scale
        )
        self._trees = [tree.tree_ for tree in self._forest.estimators_]
        inputs = self._inputs.astype(np.float32)
        by_tree = np.array([self._values(tree, inputs) for tree in self._trees])
        self.expected = share_of(by_tree[:, :, columns_of(FULL, "test_acc")[-1]])
        unseen = self._unseen(by_tree)
        self.breadth = self._breadth(by_tree, unseen)
        self.noise = Noise.of(records, self.curves, unseen, self.breadth)
        self.seconds = Seconds(records, self._features)
        self.folding = Folding.of(records, folded)

    def expected_test(self, params: Sequence[Mapping[str, Any]]) -> Array:
        """The test accuracy that configs are expected to reach at full length."""
        inputs = self._features(params).astype(np.float32)
        column = columns_of(FULL, "test_acc")[-1]
        return np.mean([share_of(self._values(t, inputs)[:, column]) for t in self._trees], axis=0)

    def landscape(self, seed: int) -> Landscape:
        """One that the task may have, for one search."""
        drawn = np.random.default_rng(seed_of("landscape", self.task, seed))
        return Landscape(self, drawn.choice(TREES, self.breadth), seed)

    def curve(self, trees: NDArray[np.int64], params: Mapping[str, Any]) -> Array:
        """The expected curves of a config by some of the trees."""
        row = self._features([params]).astype(np.float32)
        return np.mean([self._values(self._trees[tree], row)[0] for tree in trees], axis=0)

    def _values(self, tree: Any, inputs: NDArray[np.float32]) -> Array:
        return tree.predict(inputs).reshape(len(inputs), -1) / self._scale

    def _features(self, params: Sequence[Mapping[str, Any]]) -> Array:
        return np.array([features(each, engineered=self._engineered) for each in params])

    def _unseen(self, by_tree: Array) -> Array:
        """Where a tree (row) has not seen a config (column)."""
        seen = np.zeros(by_tree.shape[:2], bool)
        for row, samples in enumerate(self._forest.estimators_samples_):
            seen[row, samples] = True
        return np.where(seen[:, :, None], np.nan, by_tree)

    def _breadth(self, by_tree: Array, unseen: Array) -> int:
        """As many trees as make landscapes differ by what the forest is wrong by."""
        column = columns_of(FULL, "test_acc")[-1]
        with np.errstate(all="ignore"):
            wrong = np.nanmean(unseen[:, :, column], axis=0) - self.curves[:, column]
            spread = np.nanvar(unseen[:, :, column], axis=0)
        ratio = np.nanmean(spread) / max(float(np.nanmean(wrong**2)), 1e-9)
        return int(np.clip(round(ratio), LEAST_TREES, MOST_TREES))


@dataclass(frozen=True)
class Noise:
    """What runs add to what their config is expected to report.

    Attributes:
        expected: The curves that are expected of the runs that lend it.
        added: What each adds to them.
        images: The numbers of validation and test images.
    """

    expected: Array
    added: Array
    images: tuple[int, int]

    @classmethod
    def of(cls, records: Sequence[Record], curves: Array, unseen: Array, breadth: int) -> Noise:
        """The noise of a task.

        Args:
            records: Its records.
            curves: The same, as rows.
            unseen: What trees expect of rows that they have not seen.
            breadth: The trees of a landscape, which has what they leave of a row's own noise.
        """
        images = images_of(records, "val_acc"), images_of(records, "test_acc")
        lent = _repeated(records)
        if lent is not None:
            expected, rest = lent
            share = 1.0
        else:
            expected = np.nanmean(unseen, axis=0)
            known = ~np.isnan(expected).any(1)
            expected, rest = expected[known], (curves - np.nan_to_num(np.nanmean(unseen, 0)))[known]
            share = 1 - 1 / breadth
        share *= images[1] / (images[0] + images[1])  # validation's, of a variance as 1 / images
        return cls(expected, _of_validation(rest, math.sqrt(share)), images)

    def draw(self, expected: Array, drawn: np.random.Generator) -> Array:
        """What a run adds of which a curve is expected.

        A logit's noise is the larger the nearer an accuracy is to 0 or 1, as the binomial's is.
        """
        if not len(self.expected):
            return np.zeros(self.added.shape[1])
        apart = np.abs(levels_of(self.expected) - levels_of(expected[None]))
        lender = drawn.choice(np.argsort(apart, kind="stable")[:ALIKE])
        found = self.added[lender].copy()
        for length in LENGTHS:
            accuracies, losses = (columns_of(length, name) for name in ("val_acc", "val_loss"))
            lent, own = (share_of(curve[accuracies]) for curve in (self.expected[lender], expected))
            scale = np.sqrt(lent * (1 - lent) / (own * (1 - own)))
            found[accuracies] *= scale
            found[losses] *= scale
        return found


def _of_validation(rest: Array, share: float) -> Array:
    """What runs have more or less in validation alone, in accuracy and, by it, in loss.

    What they have in validation and test together is that they learned sooner or later: it is no
    luck of the images, and of another config with the same end it would be another.
    """
    added = np.zeros_like(rest)
    for length in LENGTHS:
        accuracies, losses = (columns_of(length, name) for name in ("val_acc", "val_loss"))
        apart = rest[:, accuracies] - rest[:, columns_of(length, "test_acc")]
        added[:, accuracies] = share * apart
        last = rest[:, accuracies[-1]]
        slope = last @ rest[:, losses[-1]] / max(float(last @ last), 1e-9)
        added[:, losses] = slope * added[:, accuracies]
    return added


def _repeated(records: Sequence[Record]) -> tuple[Array, Array] | None:
    """Of what was recorded under several seeds, the mean of each run's config, and the rest.

    A rest is made larger by what taking the mean has made it smaller. The first run of each config
    is left out: by its score it was chosen to be recorded again.
    """
    means, rests = list[Array](), list[Array]()
    for runs in (runs for runs in again_runs(records).values() if len(runs) > 1):
        curves = np.zeros((len(runs), len(COLUMNS) * sum(LENGTHS)))
        for length in LENGTHS:  # those that are shorter begin as the full one does
            columns = np.concatenate([columns_of(length, name) for name in COLUMNS])
            of_full = np.concatenate([columns_of(FULL, name)[:length] for name in COLUMNS])
            full = np.array([curve_of(run) for run in runs])
            curves[:, columns] = full[:, of_full - columns_of(FULL, COLUMNS[0])[0]]
        means += [curves.mean(0)] * len(runs)
        rests += list((curves - curves.mean(0)) * math.sqrt(len(runs) / (len(runs) - 1)))
    return (np.array(means), np.array(rests)) if len(rests) >= ALIKE else None
