"""The winner of a search: chosen among what may be registered, and tested as it is served.

All of it can be done on another machine than the driver's, which is then handed the results.
"""

from __future__ import annotations

import platform
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from trainable.data.datasets import Dataset, load_dataset
from trainable.inference.calibration import Calibration
from trainable.inference.classifier import Classifier
from trainable.inference.latency import seconds_an_image
from trainable.inference.scoring import score
from trainable.judging.predictions import Predictions
from tune.base.errors import first_line
from tune.models.candidates import (
    Candidate,
    is_better,
    refit,
    single,
    soup,
)
from tune.models.contest import Contest
from tune.tracking.client import FAILURES, why

REFUSED: Final = (
    "the winner trained on all images is not taken: it knows the validation images clearly less "
    "well than the run that has not trained on them"
)


@dataclass(frozen=True)
class Fault:
    """Something that failed, and without which there is a winner all the same.

    Attributes:
        what: What it was.
        reason: Why, in a line.
        trace: The error's traceback, where the line does not say enough.
    """

    what: str
    reason: str
    trace: str | None = None


@dataclass(frozen=True, eq=False)
class Tested:
    """The winner, as it is served, and what it says of the test images.

    Attributes:
        name: `single`, `soup` or `refit`.
        ingredients: The names of its runs.
        epoch: The epoch after which the weights of a single run are taken.
        score: Its objective on the validation images.
        calibration: What its probabilities are worth.
        test: Its predictions on the test images.
        latency: The seconds that an image takes.
        remark: Why it is no refit, if one was made or asked for.
        faults: What failed.
        classifier: The model.
    """

    name: str
    ingredients: tuple[str, ...]
    epoch: int | None
    score: float
    calibration: Calibration
    test: Predictions
    latency: float
    remark: str
    faults: tuple[Fault, ...]
    classifier: Classifier


def hold(contest: Contest) -> Tested:
    """Choose the winner and test it, as a server would have it."""
    faults = _Faults()
    chosen, remark = _choose(contest, faults)
    dataset, classifier = _images(contest), _as_served(chosen)
    return Tested(
        name=chosen.name,
        ingredients=chosen.ingredients,
        epoch=chosen.runs[0].epoch if len(chosen.runs) == 1 else None,
        score=chosen.objective.metric.of(chosen.val),
        calibration=chosen.calibration,
        test=score(classifier, dataset.test, dataset.classes),
        latency=seconds_an_image(classifier.answering, classifier.spec.image_size),
        remark=remark,
        faults=tuple(faults.found),
        classifier=classifier,
    )


@dataclass(frozen=True, eq=False)
class Packed:
    """What was tested on another machine, as it is sent to the driver: the model as its files."""

    tested: Tested
    files: dict[str, bytes]

    def unpacked(self) -> Tested:
        """The same, with the model read from its files."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in self.files.items():
                (Path(folder) / name).write_bytes(content)
            return replace(self.tested, classifier=Classifier.load(Path(folder)))


def hold_elsewhere(contest: Contest) -> Packed:
    """Hold a contest on another machine than the driver's.

    Raises:
        ValueError: The images here are not those of the search.
    """
    if _images(contest).fingerprint != contest.fingerprint:
        raise ValueError(
            f"the images on {platform.node()} are not those with which the search was started"
        )
    tested = hold(contest)
    with tempfile.TemporaryDirectory() as folder:
        tested.classifier.save(Path(folder))
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    return Packed(replace(tested, classifier=None), files)  # type: ignore[arg-type]


def _images(contest: Contest) -> Dataset:
    search = contest.best.search
    return load_dataset(search.data, search.cache.of_images)


def _choose(contest: Contest, faults: _Faults) -> tuple[Candidate, str]:
    """The winner's best run, or the soup of the finalists' runs if the validation images say so.

    A refit, which no images are left to judge, is taken if there is one; if it is not, the second
    value says why.
    """
    fraction = contest.memory_fraction
    chosen, remark = single(contest.best, contest.folders, fraction), contest.remark
    if contest.refit is not None:
        with faults.noted("the refit of the winner"):
            whole = refit(contest.refit, contest.folders, chosen, fraction)
            if whole is not None:
                return whole, ""
            remark = REFUSED
    if contest.mixed:
        with faults.noted("the soup of the finalists"):
            mixed = soup(contest.mixed, contest.folders, fraction)
            if mixed is not None and is_better(mixed, chosen):
                return mixed, remark
    return chosen, remark


def _as_served(chosen: Candidate) -> Classifier:
    """A candidate as a server has it: written to files, and read from them."""
    with tempfile.TemporaryDirectory() as folder:
        calibration = chosen.calibration
        classifier = chosen.tuner.classifier()
        classifier.calibrated(calibration.temperature, calibration.unsure_below).save(Path(folder))
        return Classifier.load(Path(folder))


@dataclass
class _Faults:
    """What has failed so far."""

    found: list[Fault] = field(default_factory=list)

    @contextmanager
    def noted(self, what: str) -> Iterator[None]:
        """Note an error instead of raising it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - of plugins, networks, files: none may end it
            self.found.append(fault_of(what, error))


def fault_of(what: str, error: Exception) -> Fault:
    """What failed, and why."""
    if isinstance(error, FAILURES):
        return Fault(what, why(error))
    trace = "".join(traceback.format_exception(error))
    return Fault(what, f"{type(error).__name__}: {first_line(error)}", trace)
