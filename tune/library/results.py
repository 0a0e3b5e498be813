"""What a search came to, for Python."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tune.base.errors import SearchStoppedError
from tune.cli import open_console
from tune.library.guest import as_guest
from tune.library.models import PredictionModel, load_model
from tune.study.folder import SearchFolder
from tune.tracking.schema import Artifact

if TYPE_CHECKING:
    import pandas as pd
    from optuna import Study

    from tune.engine.launch import Launch
    from tune.reporting.results import SearchResults

_WIDTH: Final = 100
"""Columns of what a notebook shows."""


@dataclass(frozen=True, eq=False)
class Result:
    """What a search came to.

    Attributes:
        name: The search's name, by which `tune.resume` goes on with it.
        folder: Its folder: report, pictures, checkpoints.
        best_params: The values of the searched keys in the trial that won; empty if none completed.
        test_score: What the registered model reached on the test images, as it is served, but for
            the temperature of its probabilities.
        confirmed_score: The mean of the runs of the trial that won under other seeds, if it had
            any.
        best_score: What that trial reached on the validation images, by which it was chosen: of
            many trials, partly luck.
        model_name: The registered model, such as `models:/resnet18-photos/3`, if there is one.
        decision: What the registry decided on it, in words.
        unfinished: What there was no time for, or is not recorded; empty if all is done.
    """

    name: str
    folder: Path
    best_params: dict[str, Any]
    test_score: float | None
    confirmed_score: float | None
    best_score: float | None
    model_name: str | None
    decision: str
    unfinished: str
    _results: SearchResults = field(repr=False)

    @classmethod
    def of_run(cls, launch: Launch, show_progress: bool) -> Result:
        """Run a search to its end.

        Args:
            launch: The search.
            show_progress: Whether to print what it does.

        Raises:
            Halt: It cannot go on for now.
            SearchStoppedError: No trial was completed.
        """
        console = open_console(quiet=not show_progress)
        console.print(f"search   {launch.home.name}")
        start = time.monotonic()
        results = launch.run(console)
        from tune.reporting.terminal import print_ending

        complaints = print_ending(
            results, launch.home, launch.advice, time.monotonic() - start, console
        )
        if not results.finalists:
            raise SearchStoppedError("; ".join(complaints))
        for complaint in complaints:
            warnings.warn(complaint, stacklevel=5)
        return cls.of(results, launch.home, "; ".join(complaints))

    @classmethod
    def of_finished(cls, home: SearchFolder, lacks: str) -> Result:
        """Read what a search came to from its record.

        Args:
            home: Its folder.
            lacks: What it had no time for; empty if all is done.

        Raises:
            ConfigError: Its study or its data is not available.
        """
        from tune.reporting.files import read_results
        from tune.reporting.terminal import why_nothing

        results = read_results(home.load())
        nothing = "" if results.finalists else why_nothing(results)
        return cls.of(results, home, "; ".join(filter(None, (nothing, lacks))))

    @classmethod
    def of(cls, results: SearchResults, home: SearchFolder, complaints: str = "") -> Result:
        """The same for Python."""
        best = results.finalists[0] if results.finalists else None
        test = results.test
        return cls(
            name=results.name,
            folder=home.folder,
            best_params=dict(best.trial.params) if best else {},
            test_score=None if test is None else float(results.objective.metric.of(test)),
            confirmed_score=best.mean if best and best.runs else None,
            best_score=best.trial.score if best else None,
            model_name=_model_of(results, home),
            decision=results.standing.reason if results.standing else results.decision,
            unfinished="; ".join(filter(None, (complaints, results.undone))),
            _results=results,
        )

    @property
    def report(self) -> Path | None:
        """The report's page, once it is written."""
        page = self.folder / Artifact.REPORT
        return page if page.is_file() else None

    @property
    def trials(self) -> pd.DataFrame:
        """A row a trial: its state, epochs, score, searched values, and error."""
        import pandas as pd

        objective = self._results.objective
        rows = [
            {
                "trial": log.number,
                "state": log.state.name.lower(),
                "epochs": len(log.epochs),
                objective.name: log.score,
                **log.params,
                "error": log.error,
            }
            for log in self._results.ledger.trials.values()
        ]
        return pd.DataFrame(rows).set_index("trial") if rows else pd.DataFrame()

    @property
    def study(self) -> Study:
        """Optuna's study."""
        return self._results.ledger.study

    @cached_property
    def model(self) -> PredictionModel:
        """The registered model.

        Raises:
            ValueError: The search has come to none.
            ConfigError: It cannot be read.
        """
        if self.model_name is None:
            raise ValueError(f"search {self.name} has registered no model: {self.unfinished}")
        return load_model(self.model_name, tracking_uri=self._results.config.tracking.uri)

    def _repr_html_(self) -> str:
        """What a notebook shows: the last lines of a search, and its trials."""
        from tune.reporting.terminal import print_results

        lines = StringIO()
        if self._results.finalists:
            print_results(self._results, open_console(file=lines, width=_WIDTH))
        return f"<pre>{escape(lines.getvalue().strip())}</pre>{self.trials.to_html()}"


def _model_of(results: SearchResults, home: SearchFolder) -> str | None:
    """The version that a search's model is; None where there is none, or MLflow is away."""
    if results.model is None:
        return None
    if results.version is not None:
        return f"models:/{results.config.model_name}/{results.version}"
    from tune.tracking.client import FAILURES

    try:
        return _registered(home)  # of a search that has not noted it
    except FAILURES:
        return None


def _registered(home: SearchFolder) -> str | None:
    """The version that a search has registered last."""
    with as_guest():
        from tune.tracking.queries import find_parent
        from tune.tracking.server import open_client

        search = home.load()
        client = open_client(search.config.tracking.uri)
        run = find_parent(client, search)
        if run is None:
            return None
        found = client.search_model_versions(f"run_id = '{run.info.run_id}'")
        latest = max(found, key=lambda version: int(version.version), default=None)
        return None if latest is None else f"models:/{latest.name}/{latest.version}"
