"""What a person sees while a search runs: a live table, or plain lines without a terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from optuna.trial import TrialState
from ray.tune import Callback
from ray.tune.experiment import Trial
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tune.cluster import DriverOnly
from tune.config import SearchConfig
from tune.recording import error_of
from tune.searcher import METRIC, final_state

MAX_ROWS: Final = 24
"""Rows of the live table: the running trials and the best of the others."""

_STYLES = {
    TrialState.RUNNING: "cyan",
    TrialState.COMPLETE: "green",
    TrialState.PRUNED: "yellow",
    TrialState.FAIL: "red",
}


@dataclass
class TrialView:
    """A trial as it is shown."""

    number: int
    params: dict[str, Any]
    state: TrialState = TrialState.RUNNING
    epoch: int = 0
    last: dict[str, Any] = field(default_factory=dict)
    best: float | None = None
    error: str | None = None


class Progress(DriverOnly, Callback):
    """Follows Ray's trials and shows them.

    Args:
        config: The search.
        console: Where to show it. The table is live where this is a terminal.
        clock: Seconds that never run backwards.
    """

    def __init__(
        self,
        config: SearchConfig,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._console, self._clock = config, console, clock
        self._views: dict[str, TrialView] = {}
        self._started = clock()
        self._live = Live(
            get_renderable=self._render,
            console=console,
            refresh_per_second=2,
            transient=False,
        )

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Show a new trial."""
        config = trial.config
        params = {
            key: config["trial"][(k := key.split("."))[0]][k[1]] for key in self._config.space
        }
        self._views[trial.trial_id] = TrialView(config["number"], params)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Show an epoch."""
        view = self._views[trial.trial_id]
        view.epoch, view.last = result["epoch"], dict(result)
        view.best = max(result[METRIC], view.best or 0.0)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Show how a trial ended."""
        self._end(trial, final_state(trial.last_result))

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Show what broke a trial."""
        self._views[trial.trial_id].error = error_of(trial)
        self._end(trial, TrialState.FAIL)

    def counts(self) -> Counter[TrialState]:
        """How many trials are in each state."""
        return Counter(view.state for view in self._views.values())

    @property
    def elapsed(self) -> float:
        """Seconds since the search began."""
        return self._clock() - self._started

    def _end(self, trial: Trial, state: TrialState) -> None:
        view = self._views[trial.trial_id]
        view.state = state
        if not self._console.is_terminal:
            self._console.print(f"{self._line(view)} | {self._headline()}", soft_wrap=True)

    def _line(self, view: TrialView) -> str:
        params = " ".join(f"{key}={_short(value)}" for key, value in view.params.items())
        score = view.error or f"{METRIC}={_percent(view.best)} epoch {view.epoch}"
        return f"trial {view.number:3d} {view.state.name.lower():8s} {score} {params}"

    def _headline(self) -> str:
        counts, total = self.counts(), self._config.budget.num_samples
        ended = [view for view in self._views.values() if view.state.is_finished()]
        best = max((view.best for view in self._views.values() if view.best), default=None)
        return (
            f"{len(ended)}/{total} ended ({counts[TrialState.COMPLETE]} done, "
            f"{counts[TrialState.PRUNED]} pruned, {counts[TrialState.FAIL]} failed), "
            f"{counts[TrialState.RUNNING]} running, best {METRIC} {_percent(best)}, "
            f"{_clock(self.elapsed)} gone, {self._left(len(ended), total)} left"
        )

    def _left(self, ended: int, total: int) -> str:
        guess = self.elapsed * (total / ended - 1) if ended else None
        if self._config.budget.time is not None:
            budget = max(0.0, self._config.budget.time - self.elapsed)
            guess = budget if guess is None else min(guess, budget)
        return "?" if guess is None else f"about {_clock(guess)}"

    def _render(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("trial", "state", "epoch", METRIC, "best", "train_acc"):
            table.add_column(heading, justify="right" if heading != "state" else "left")
        for key in self._config.space:
            table.add_column(key, justify="right")
        for view in self._shown():
            table.add_row(*self._cells(view))
        return Group(table, Text(self._headline(), style="bold"))

    def _shown(self) -> list[TrialView]:
        """The running trials, then the best of the rest, as many as fit."""

        def rank(view: TrialView) -> tuple[bool, float]:
            return view.state is not TrialState.RUNNING, -(view.best or 0.0)

        room = max(3, min(MAX_ROWS, self._console.size.height - 4))
        return sorted(self._views.values(), key=rank)[:room]

    def _cells(self, view: TrialView) -> list[RenderableType]:
        name = "done" if view.state is TrialState.COMPLETE else view.state.name.lower()
        state = Text(name, style=_STYLES[view.state])
        epochs = f"{view.epoch}/{self._config.train.epochs}"
        metrics = (_percent(view.last.get(METRIC)), _percent(view.best))
        train = _percent(view.last.get("train_acc"))
        params = (_short(value) for value in view.params.values())
        return [str(view.number), state, epochs, *metrics, train, *params]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}%"


def _short(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
