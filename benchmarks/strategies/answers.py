"""What the trials of one search report, and when."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np
from folding import images_on
from numpy.typing import NDArray
from rows import FULL, Array, Record, columns_of, logits_of, prefix_of, share_of
from sklearn.ensemble import ExtraTreesRegressor

from trainable.base.folds import ALL
from trainable.seeding import seed_of

if TYPE_CHECKING:
    from curves import Surrogate
    from folding import Folding

FIXED: Final = ("none", "flip")
"""Policies whose renditions are few: once computed, every epoch finds them in the store."""
START_SECONDS: Final = 0.5
"""What Ray takes to start a trial in a worker that it has: six tiny ones took 3.0 s."""


class Seconds:
    """How long epochs take, of processor time.

    Args:
        records: A task's.
        features_of: Turns configs into numbers.
    """

    def __init__(
        self, records: Sequence[Record], features_of: Callable[[Sequence[Mapping[str, Any]]], Array]
    ) -> None:
        self._features = features_of
        timed = [record for record in records if record["epochs"]]
        taken = [np.median([epoch["seconds"] for epoch in r["epochs"]]) for r in timed]
        inputs = features_of([record["params"] for record in timed])
        forest = ExtraTreesRegressor(50, random_state=0, n_jobs=1)
        forest.fit(inputs, np.log(np.maximum(taken, 1e-3)))
        self._trees = [tree.tree_ for tree in forest.estimators_]  # whose own predict is fast
        self._known: dict[str, float] = {}
        self._prepared = defaultdict[tuple[Any, ...], list[float]](list)
        for record in timed:
            policy, depth = prefix_of(record["params"])
            # The first epoch has the validation images with it, but a fixed policy has no other.
            epochs = record["epochs"][:1] if policy in FIXED else record["epochs"][1:]
            for epoch in epochs:
                for key in ((policy, depth), (policy,), ()):
                    self._prepared[key].append(epoch["prepare_seconds"])

    def epoch(self, params: Mapping[str, Any]) -> float:
        """Seconds of an epoch whose view is there."""
        key = repr(sorted(params.items()))
        if key not in self._known:
            row = self._features([params]).astype(np.float32)
            self._known[key] = math.exp(np.mean([tree.predict(row) for tree in self._trees]))
        return self._known[key]

    def prepare(self, params: Mapping[str, Any]) -> float:
        """Seconds in which a view is computed that the store does not have.

        Of the nearest that was recorded: the same policy and depth, the same policy, or any. Most
        were found in the store; those that were not took the longest.
        """
        policy, depth = prefix_of(params)
        for key in ((policy, depth), (policy,), ()):
            if found := self._prepared[key]:
                return float(np.median([each for each in found if each > max(found) / 2] or [0.0]))
        return 0.0


class Landscape:
    """What the trials of one search report.

    Args:
        surrogate: The task's.
        trees: Which of its trees.
        seed: The search's.

    Attributes:
        ceiling: The best test accuracy that a recorded config is expected to reach here.
        floor: What a random config is expected to reach here.
        nothing: What the worst is expected to reach, which is what a search has without a trial.
    """

    def __init__(self, surrogate: Surrogate, trees: NDArray[np.int64], seed: int) -> None:
        self._surrogate, self._trees, self._seed = surrogate, trees, seed
        expected = surrogate.expected[trees].mean(0)
        self.ceiling, self.floor = float(expected.max()), float(expected.mean())
        self.nothing = float(expected.min())
        self._stored: set[tuple[Any, ...]] = set()
        self._trials: dict[str, Trial] = {}

    def __call__(self, params: Mapping[str, Any]) -> Trial:
        """The epochs of a config.

        `train.epochs`, `train.seed` and `data.fold` may be among its values. Its refit is without
        luck in its validation too, by which nothing is chosen.
        """
        key = repr(sorted(params.items()))
        if key not in self._trials:
            self._trials[key] = Trial(self._report(params), self._times(params))
        return self._trials[key]

    @property
    def folding(self) -> Folding | None:
        """What the task's folds and refits are like; None where none were recorded."""
        return self._surrogate.folding

    def forget(self) -> None:
        """Begin anew, with an empty store."""
        self._stored.clear()
        self._trials.clear()

    @property
    def _folding(self) -> Folding:
        assert self._surrogate.folding is not None
        return self._surrogate.folding

    def _report(self, params: Mapping[str, Any]) -> list[dict[str, float]]:
        config, fold = images_on(params)
        length = int(config.get("train.epochs", FULL))
        curve = self._surrogate.curve(self._trees, config)
        tests = share_of(curve[columns_of(length, "test_acc")])
        losses = np.exp(curve[columns_of(length, "val_loss")])
        if fold is None:
            right, losses = self._validated(curve, config, length)
        elif fold == ALL:
            right = tests = share_of(logits_of(tests) + self._folding.gain)
        else:
            right = self._on_fold(tests, config, fold)
        columns = {
            "train_loss": losses,
            "train_acc": right,
            "val_loss": losses,
            "val_acc": right,
            "test_acc": tests,
        }
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def _validated(
        self, expected: Array, config: Mapping[str, Any], length: int
    ) -> tuple[Array, Array]:
        """The accuracies and losses of the validation split."""
        noise = self._surrogate.noise
        curve = expected + noise.draw(expected, self._drawn("run", config))
        images = noise.images[0]
        right = np.round(images * share_of(curve[columns_of(length, "val_acc")])) / images
        return right, np.exp(curve[columns_of(length, "val_loss")])

    def _on_fold(self, tests: Array, config: Mapping[str, Any], fold: str) -> Array:
        """The validation accuracies on a fold."""
        place = self._folding.folds.index(fold)
        added = self._folding.draw(tests, self._drawn("folds", config))[:, place]
        images = self._folding.images[place]
        return np.round(images * share_of(logits_of(tests) + added)) / images

    def _drawn(self, what: str, config: Mapping[str, Any]) -> np.random.Generator:
        key = repr(sorted(config.items()))
        return np.random.default_rng(seed_of(what, self._surrogate.task, self._seed, key))

    def _times(self, params: Mapping[str, Any]) -> Iterator[float]:
        """The seconds of the epochs, each looked up in the store when it begins.

        The views of folds and of refits are those of training and validation images together.
        """
        seconds, folding = self._surrogate.seconds, self._surrogate.folding
        config, fold = images_on(params)
        policy, depth = prefix_of(config)
        more = 1.0 if fold is None or folding is None else folding.growth
        start = START_SECONDS
        for epoch in range(FULL):
            view = (policy, depth, 0 if policy in FIXED else epoch, fold is None)
            computed = 0.0 if view in self._stored else more * seconds.prepare(config)
            self._stored.add(view)
            yield start + computed + (more if fold == ALL else 1.0) * seconds.epoch(config)
            start = 0.0


class Trial(Sequence[Mapping[str, float]]):
    """The epochs of a trial, whose times are known one by one: what the store has costs less.

    Args:
        epochs: Their metrics.
        times: Gives the seconds of the next.
    """

    def __init__(self, epochs: Sequence[Mapping[str, float]], times: Iterator[float]) -> None:
        self._epochs, self._times = epochs, times
        self._known: list[dict[str, float]] = []

    def __len__(self) -> int:
        return len(self._epochs)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, float]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, float]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        assert isinstance(index, int)
        if not 0 <= index < len(self):
            raise IndexError(index)
        while len(self._known) <= index:
            epoch = self._epochs[len(self._known)]
            self._known.append({**epoch, "epoch_seconds": next(self._times)})
        return self._known[index]
