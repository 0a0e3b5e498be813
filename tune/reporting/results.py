"""What a search came to: for its report, the terminal's last lines, and whoever goes by it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trainable.data.datasets import Dataset
from trainable.inference.calibration import NONE, Calibration
from trainable.judging.bootstrap import interval
from trainable.judging.objective import Objective
from trainable.judging.predictions import Predictions
from tune.config.schema import SearchConfig
from tune.soundness.labels import Judged
from tune.strategy.agreement import disagreement
from tune.strategy.choice import Choice
from tune.strategy.confirmation import Finalist
from tune.study.ledger import Ledger
from tune.study.trial import TrialLog, TrialState

if TYPE_CHECKING:
    from tune.models.promotion import Standing


_ACCURACY: Final = "test accuracy"


@dataclass(frozen=True)
class Model:
    """The model of a search: a run's best checkpoint, or the average of several.

    Attributes:
        runs: The names of the runs whose weights are in it, such as `confirm-001`.
        epoch: Of a single run, the number of the epoch after which its weights were taken.
        score: Its value of the objective on the validation images, by which it was chosen; of a
            refit, the mean of the winner's runs after as many epochs, since it has trained on those
            images too; None if there are none.
    """

    runs: tuple[str, ...]
    epoch: int | None
    score: float | None

    @property
    def candidate(self) -> str:
        """Its kind, as the record has it."""
        if self.is_refit:
            return "refit"
        return "single" if len(self.runs) == 1 else "soup"

    @property
    def described(self) -> str:
        """Its kind and its runs, in words."""
        kind = {"refit": "the winner trained on all images", "single": "a single run", "soup": ""}
        return ": ".join(filter(None, (kind[self.candidate], str(self))))

    @property
    def is_refit(self) -> bool:
        """Whether it was trained on the validation images too."""
        return self.runs[0].startswith("refit-")

    def __str__(self) -> str:
        if len(self.runs) > 1:
            return f"the soup of {', '.join(self.runs)}"
        return self.runs[0] if self.epoch is None else f"{self.runs[0]}, epoch {self.epoch}"


@dataclass(frozen=True, eq=False)
class SearchResults:
    """What a search came to, as far as it has.

    Attributes:
        name: The search's name.
        ledger: Its trials.
        dataset: The images that it was about.
        finalists: Its best trials, the winner first; none if no trial completed.
        model: What is registered and tested.
        test: Its predictions on the test images, as a server would answer but for the calibration.
        calibration: What the model's probabilities are worth; None where that is not known.
        decision: The registry's decision on it, in words.
        standing: The same with its version, of a search that has just ended.
        number: The version, where it is read from the record.
        latency: The seconds that the model takes for an image, alone, on the machine of the search.
        report: The report's page, once it is written.
        unfinished: What failed after the last trial, or is not recorded, if anything.
        undone: What there was no time for, in words; empty where all was done.
        remark: What else is to be said of how the model was chosen.
        choice: The rule by which it was chosen; None is by the objective alone.
        judged: What models say of images that they were not trained on; None where none is known.
    """

    name: str
    ledger: Ledger
    dataset: Dataset
    finalists: tuple[Finalist, ...] = ()
    model: Model | None = None
    test: Predictions | None = None
    calibration: Calibration | None = None
    decision: str = ""
    standing: Standing | None = None
    number: int | None = None
    latency: float | None = None
    report: Path | None = None
    unfinished: str | None = None
    undone: str = ""
    remark: str = ""
    choice: Choice | None = None
    judged: Judged | None = None

    @property
    def version(self) -> int | None:
        """The number of the version that was registered, if one was."""
        return self.number if self.standing is None else self.standing.version

    @property
    def config(self) -> SearchConfig:
        """The config of the search."""
        return self.ledger.config

    @cached_property
    def objective(self) -> Objective:
        """The objective by which its trials were compared."""
        data, given = self.dataset, self.config.objective
        return self.ledger.objective.bound(given, data.classes, several=data.has_several)

    @property
    def served(self) -> Predictions | None:
        """The predictions on the test images with the probabilities that a server would answer."""
        if self.test is None or self.calibration is None:
            return self.test
        return self.calibration.of(self.test)

    @property
    def test_values(self) -> dict[str, str]:
        """The objective on the test images, what is reported beside it, and the accuracy."""
        if self.test is None:
            return {}
        shown = {each.title("test"): each.show(each.metric.of(self.test)) for each in self._tested}
        return shown | {_ACCURACY: f"{self.test.accuracy:.2%}"}

    @cached_property
    def test_intervals(self) -> dict[str, str]:
        """The values that the test images leave possible of :attr:`test_values`, by their names."""
        if self.test is None:
            return {}
        low, high = self.test.accuracy_interval()
        found = {_ACCURACY: f"95 % interval {low:.2%} to {high:.2%}"}
        for each in self._tested:
            if (title := each.title("test")) not in found:
                ends = " to ".join(map(each.show, interval(each.metric, self.test)))
                found[title] = f"95 % interval {ends}"
        return {title: found[title] for title in self.test_values}

    @property
    def _tested(self) -> list[Objective]:
        """Each metric that is tested, as an objective of its own."""
        return [Objective(metric) for metric in self.objective.metrics]

    def how_tested(self, title: str) -> str:
        """What was tested for one of :attr:`test_values`: a temperature changes no label."""
        is_of_labels = title == _ACCURACY or any(
            each.metric.of_labels for each in self._tested if each.title("test") == title
        )
        if is_of_labels or self.calibration in (None, NONE):
            return "as it is served"
        return "as it is served, but for its temperature"

    @property
    def disagreement(self) -> str:
        """What is to be said of the winner's runs where they disagree; empty where not."""
        if not self.finalists:
            return ""
        return disagreement(self.finalists[0], len(self.dataset.train), len(self.dataset.val))

    @property
    def luckiest(self) -> TrialLog | None:
        """The trial of the best score, that of the winner or not; a stopped one if none completed.

        The best of many scores is partly luck.
        """
        complete = [log for log in self.trials if log.state is TrialState.COMPLETE]
        return max(complete or self.comparable, key=lambda log: log.rank, default=None)

    @property
    def judged_by(self) -> str:
        """Of a refit, what its score is; empty of any other model."""
        if self.model is None or not self.model.is_refit or not self.finalists:
            return ""
        images, best = len(self.dataset.train) + len(self.dataset.val), self.finalists[0]
        of = f"the mean of its recipe over {best.over}" if best.runs else "not measured"
        return f"{of}; it has trained on all {images} images"

    @property
    def trials(self) -> list[TrialLog]:
        """The trials that reported an epoch."""
        return [log for log in self.ledger.trials.values() if log.epochs]

    @property
    def comparable(self) -> list[TrialLog]:
        """The trials that did not fail, or all of them if each did."""
        states = (TrialState.COMPLETE, TrialState.PRUNED)
        return [log for log in self.trials if log.state in states] or self.trials

    @property
    def common_epoch(self) -> int:
        """The last epoch, from 1, that all comparable trials reached."""
        return min(len(log.epochs) for log in self.comparable)

    @property
    def costs(self) -> dict[int, float]:
        """What each trial's model costs, by its number; empty where no cost counts."""
        if self.choice is None:
            return {}
        costs = {log.number: self.choice.cost(log.params) for log in self.trials}
        return {number: cost for number, cost in costs.items() if cost is not None}

    @property
    def error(self) -> str | None:
        """The error of the first trial that failed."""
        return next((log.error for log in self.ledger.trials.values() if log.error), None)
