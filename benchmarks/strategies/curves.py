"""Recorded learning curves as a function: what a trial of any config would have reported.

A forest of extremely randomized trees (Geurts et al. 2006) maps a config to the curves of all
recorded lengths at once. A strategy is not replayed on the forest's mean, which is smoother than
any task, but on a *landscape*: a few trees of the forest, drawn anew for each search, as many as
make landscapes differ by what the forest is wrong by (`Surrogate.breadth`). Within a search a
config has one expected curve, however often and under whatever seed it is asked for, so that
nothing is won by asking again. What a run adds to it is noise as it was recorded:

- of configs that were recorded under several seeds, what one run had more or less than the mean
  of its config's runs, in validation and test together;
- without these, how far validation and test were apart, in a run of about the same accuracy, from
  what the forest expects; shared between the two by the numbers of their images.
"""

from __future__ import annotations

import gzip
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from tasks import LENGTHS, SPACE

from trainable.seeding import seed_of

Array = NDArray[np.float64]
Record = Mapping[str, Any]

TREES: Final = 200
LEAST_TREES, MOST_TREES = 2, 32
"""The trees of a landscape: of a single one, a run would differ from no other of its config."""
ALIKE: Final = 12
"""The runs of about the same accuracy that lend their noise."""
FIXED: Final = ("none", "flip")
"""Policies whose renditions are few: once computed, every epoch finds them in the store."""
START_SECONDS: Final = 0.5
"""What Ray takes to start a trial in a worker that it has: six tiny ones took 3.0 s."""
FULL: Final = max(LENGTHS)
COLUMNS: Final = ("val_acc", "val_loss", "test_acc")
WEIGHTS: Final = {"val_acc": 1.0, "val_loss": 0.3, "test_acc": 1.0}
"""How much the trees split by each."""
_EDGE: Final = 0.002
"""Accuracies are taken to be at least so far from 0 and 1, whose logits are infinite."""


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a task, from its file of lines, compressed or not."""
    content = path.read_bytes()
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    return [json.loads(line) for line in text.splitlines()]


def file_of(folder: Path, task: str) -> Path:
    """Where the records of a task are: packed, or as they were recorded."""
    packed = folder / f"{task}.jsonl.gz"
    return packed if packed.exists() else folder / f"{task}.jsonl"


class Surrogate:
    """What is known of a task.

    Args:
        records: Its recorded trials.
        engineered: Whether the trees see what configs have in common (:func:`features`).
        forest: What kind of forest: `extra` for extremely randomized trees, or `random`.

    Attributes:
        params: The recorded configs.
        curves: What each reported, by length and column, as numbers of the whole line.
        breadth: The trees of a landscape.
        expected: The test accuracy that each recorded config is expected to reach, by tree.
    """

    def __init__(
        self, records: Sequence[Record], *, engineered: bool = True, forest: str = "extra"
    ) -> None:
        self.task, self._engineered = str(records[0]["task"]), engineered
        runs = _runs(records)
        self.params = [run[0]["params"] for run in runs]
        self.curves = np.array([_row(run) for run in runs])
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
        self.expected = _share(by_tree[:, :, _at(FULL, "test_acc")[-1]])
        unseen = self._unseen(by_tree)
        self.breadth = self._breadth(by_tree, unseen)
        self.noise = Noise.of(records, self.curves, unseen, self.breadth)
        self.seconds = Seconds(records, self._features)

    def predict(self, params: Sequence[Mapping[str, Any]]) -> Array:
        """The expected curves of configs, by the whole forest.

        Returns:
            A row for each, in logits and logarithms; `_at` tells the columns.
        """
        inputs = self._features(params).astype(np.float32)
        return np.mean([self._values(tree, inputs) for tree in self._trees], axis=0)

    def expected_test(self, params: Sequence[Mapping[str, Any]]) -> Array:
        """The test accuracy that configs are expected to reach at full length."""
        inputs = self._features(params).astype(np.float32)
        column = _at(FULL, "test_acc")[-1]
        return np.mean([_share(self._values(t, inputs)[:, column]) for t in self._trees], axis=0)

    def landscape(self, seed: int) -> Landscape:
        """One that the task may have, for one search."""
        drawn = np.random.default_rng(seed_of("landscape", self.task, seed))
        return Landscape(self, drawn.choice(TREES, self.breadth), seed)

    def curve(self, trees: Sequence[int], params: Mapping[str, Any]) -> Array:
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
        column = _at(FULL, "test_acc")[-1]
        with np.errstate(all="ignore"):
            wrong = np.nanmean(unseen[:, :, column], axis=0) - self.curves[:, column]
            spread = np.nanvar(unseen[:, :, column], axis=0)
        ratio = np.nanmean(spread) / max(float(np.nanmean(wrong**2)), 1e-9)
        return int(np.clip(round(ratio), LEAST_TREES, MOST_TREES))


@dataclass(frozen=True)
class Noise:
    """What runs add to what their config is expected to report.

    Attributes:
        levels: The expected test logits of the runs that lend it.
        added: What each adds to its curves.
        images: The numbers of validation and test images.
    """

    levels: Array
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
        images = _images(records, "val_acc"), _images(records, "test_acc")
        lent = _repeated(records)
        if lent is not None:
            expected, rest = lent
            return cls(_levels(expected), rest, images)
        expected = np.nanmean(unseen, axis=0)
        known = ~np.isnan(expected).any(1)
        expected, rest = expected[known], (curves - np.nan_to_num(np.nanmean(unseen, 0)))[known]
        added = np.zeros_like(rest)
        share = images[1] / (images[0] + images[1])  # validation's, of a variance as 1 / images
        share = math.sqrt(share * (1 - 1 / breadth))
        for length in LENGTHS:
            apart = rest[:, _at(length, "val_acc")] - rest[:, _at(length, "test_acc")]
            added[:, _at(length, "val_acc")] = share * apart
        return cls(_levels(expected), added, images)

    def draw(self, level: float, drawn: np.random.Generator) -> Array:
        """What a run adds whose expected test logit is `level`."""
        if not len(self.levels):
            return np.zeros(self.added.shape[1])
        alike = np.argsort(np.abs(self.levels - level), kind="stable")[:ALIKE]
        return self.added[drawn.choice(alike)]


class Seconds:
    """How long epochs take, of processor time.

    Args:
        records: A task's.
        features_of: Turns configs into numbers.
    """

    def __init__(self, records: Sequence[Record], features_of: Any) -> None:
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
            policy, depth = _prefix(record["params"])
            for epoch in record["epochs"][1:]:  # the first has the validation images with it
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

        Of the nearest that was recorded: the same policy and depth, the same policy, or any.
        """
        policy, depth = _prefix(params)
        for key in ((policy, depth), (policy,), ()):
            computed = [each for each in self._prepared[key] if each > 0.1]
            if computed:
                return float(np.median(computed))
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

    def __init__(self, surrogate: Surrogate, trees: Sequence[int], seed: int) -> None:
        self._surrogate, self._trees, self._seed = surrogate, trees, seed
        expected = surrogate.expected[trees].mean(0)
        self.ceiling, self.floor = float(expected.max()), float(expected.mean())
        self.nothing = float(expected.min())
        self._stored: set[tuple[Any, ...]] = set()
        self._trials: dict[str, Trial] = {}

    def __call__(self, params: Mapping[str, Any]) -> Trial:
        """The epochs of a config; `train.epochs` and `train.seed` may be among its values."""
        key = repr(sorted(params.items()))
        if key not in self._trials:
            self._trials[key] = Trial(self._report(params, key), self._times(params))
        return self._trials[key]

    def _report(self, params: Mapping[str, Any], key: str) -> list[dict[str, float]]:
        length = int(params.get("train.epochs", FULL))
        expected = self._surrogate.curve(self._trees, params)
        drawn = np.random.default_rng(seed_of("run", self._surrogate.task, self._seed, key))
        noise = self._surrogate.noise
        curve = expected + noise.draw(float(expected[_at(FULL, "test_acc")[-1]]), drawn)
        images = noise.images[0]
        right = np.round(images * _share(curve[_at(length, "val_acc")])) / images
        losses = np.exp(curve[_at(length, "val_loss")])
        tests = _share(curve[_at(length, "test_acc")])
        return [
            {
                "train_loss": loss,
                "train_acc": acc,
                "val_loss": loss,
                "val_acc": acc,
                "test_acc": test,
            }
            for acc, loss, test in zip(right.tolist(), losses.tolist(), tests.tolist(), strict=True)
        ]

    def _times(self, params: Mapping[str, Any]) -> Iterator[float]:
        """The seconds of the epochs, each looked up in the store when it begins."""
        seconds = self._surrogate.seconds
        policy, depth = _prefix(params)
        start = START_SECONDS
        for epoch in range(FULL):
            view = (policy, depth, 0 if policy in FIXED else epoch)
            computed = 0.0 if view in self._stored else seconds.prepare(params)
            self._stored.add(view)
            yield start + computed + seconds.epoch(params)
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


def features(params: Mapping[str, Any], *, engineered: bool = True) -> list[float]:
    """A config's values as numbers: logarithms of what is searched so, a bit for each name.

    Args:
        params: The values.
        engineered: Whether there are also the learning rate of a step's image in units of its
            optimizer, and of its lowest trained stage, which decide whether anything is learned.
    """
    row: list[float] = []
    for key, values in SPACE.items():
        value = params[key]
        if isinstance(values, dict):
            row.append(math.log(value) if values.get("log") else float(value))
        elif isinstance(values[0], str):
            row.extend(float(value == name) for name in values)
        else:
            row.append(float(value))
    if engineered:
        usual = 1e-3 if params["optim.name"] == "adamw" else 3e-2
        rate = math.log(params["optim.lr"] / usual)
        lowest = params["model.unfreeze_depth"] * math.log(params["optim.layer_decay"])
        row += [
            rate,
            rate - math.log(params["train.batch_size"] / 64),
            rate + lowest,
            ("none", "flip", "flip_crop", "trivial", "rand").index(params["augment.policy"]),
        ]
    return row


def _at(length: int, name: str) -> slice | Any:
    """The columns that have a metric of the epochs of a length."""
    start = len(COLUMNS) * sum(each for each in LENGTHS if each < length)
    start += length * COLUMNS.index(name)
    return np.arange(start, start + length)


def _runs(records: Sequence[Record]) -> list[list[Record]]:
    """The runs of each config that was recorded at every length, in the order of `LENGTHS`."""
    found = defaultdict[int, dict[int, Record]](dict)
    for record in records:
        if not record.get("again"):
            found[record["number"]][record["length"]] = record
    return [[of[n] for n in LENGTHS] for _, of in sorted(found.items()) if len(of) == len(LENGTHS)]


def _row(runs: Sequence[Record]) -> Array:
    """The curves of a config, of all lengths in one line."""
    return np.concatenate([_curve(run) for run in runs])


def _curve(run: Record) -> Array:
    """A run's curves, all columns in one line.

    One that diverged reports what it last had, or if it has nothing, nothing that is right: it is
    no winner either way.
    """
    epochs, test = list[Array](), 0.0
    for epoch in run["epochs"]:
        test = epoch.get("test_acc", test)
        loss = math.log(max(epoch["val_loss"], 1e-4))
        epochs.append(np.array([_logit(epoch["val_acc"]), loss, _logit(test)]))
    epochs = epochs or [np.array([_logit(0.0), math.log(10.0), _logit(0.0)])]
    epochs += [epochs[-1]] * (run["length"] - len(epochs))
    return np.array(epochs).T.ravel()


def _repeated(records: Sequence[Record]) -> tuple[Array, Array] | None:
    """Of what was recorded under several seeds, the mean of each run's config, and the rest.

    A rest is made larger by what taking the mean has made it smaller.
    """
    found = defaultdict[int, list[Record]](list)
    for record in records:
        if record["length"] == FULL:
            found[record["number"]].append(record)
    means, rests = list[Array](), list[Array]()
    for runs in (runs for runs in found.values() if len(runs) > 1):
        curves = np.zeros((len(runs), len(COLUMNS) * sum(LENGTHS)))
        for length in LENGTHS:  # those that are shorter begin as the full one does
            columns = np.concatenate([_at(length, name) for name in COLUMNS])
            of_full = np.concatenate([_at(FULL, name)[:length] for name in COLUMNS])
            full = np.array([_curve(run) for run in runs])
            curves[:, columns] = full[:, of_full - _at(FULL, COLUMNS[0])[0]]
        means += [curves.mean(0)] * len(runs)
        rests += list((curves - curves.mean(0)) * math.sqrt(len(runs) / (len(runs) - 1)))
    return (np.array(means), np.array(rests)) if len(rests) >= ALIKE else None


def _levels(curves: Array) -> Array:
    return curves[:, _at(FULL, "test_acc")[-1]]


def _images(records: Sequence[Record], name: str) -> int:
    """The number of images that an accuracy is a share of: it is recorded in five digits."""
    shares = np.unique([e[name] for r in records for e in r["epochs"] if name in e])
    for count in range(10, 10_000):
        if np.all(np.abs(shares * count - np.round(shares * count)) <= 1e-5 * count):
            return count
    raise ValueError(f"{name} is no share of fewer than 10,000 images in the records")


def _prefix(params: Mapping[str, Any]) -> tuple[str, int]:
    return params["augment.policy"], params["model.unfreeze_depth"]


def _logit(share: float) -> float:
    share = min(max(share, _EDGE), 1 - _EDGE)
    return math.log(share / (1 - share))


def _share(logits: Array) -> Array:
    return 1 / (1 + np.exp(-logits))
