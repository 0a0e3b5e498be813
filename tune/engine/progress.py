"""What a person sees while a search runs: a live table, or plain lines without a terminal."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tune.study.ledger import Ledger
from tune.study.trial import TrialLog, TrialState

MAX_ROWS: Final = 24
"""Rows of the live table: the running trials and the best of the others."""

_STYLES = {
    TrialState.RUNNING: "cyan",
    TrialState.COMPLETE: "green",
    TrialState.PRUNED: "yellow",
    TrialState.FAIL: "red",
}


class Progress:
    """Follows a ledger and shows it.

    Args:
        ledger: Of the search.
        console: Where to show it. The table is live where this is a terminal.
        remaining: The seconds until all is done, as it looks now; None if nobody knows yet.
        clock: Seconds that never run backwards.
    """

    def __init__(
        self,
        ledger: Ledger,
        console: Console,
        remaining: Callable[[], float | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._ledger = ledger.config, ledger
        self._objective = ledger.objective
        self._console, self._remaining, self._clock = console, remaining, clock
        self._started = clock()
        self._next = self._known_at = -math.inf
        self._seconds: float | None = None
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

    def changed(self, trial: TrialLog) -> None:
        """Show that a trial has ended or pauses; the live table looks for itself."""
        shown = trial.state.is_finished() or trial in self._ledger.paused
        if shown and not self._console.is_terminal:
            self._console.print(f"{self._line(trial)} | {self._headline()}", soft_wrap=True)

    @property
    def elapsed(self) -> float:
        """Seconds since these trials began: the search's, or those that confirm its best."""
        return self._clock() - self._started

    def _line(self, trial: TrialLog) -> str:
        params = " ".join(f"{key}={_short(value)}" for key, value in trial.params.items())
        objective, kind, state = self._objective, self._ledger.kind, self._state(trial)
        score = f"{objective.name}={objective.show(trial.score)} epoch {len(trial.epochs)}"
        return f"{kind} {trial.number:3d} {state:8s} {trial.error or score} {params}"

    def _state(self, trial: TrialLog) -> str:
        paused = any(log.number == trial.number for log in self._ledger.paused)
        return "paused" if paused else trial.state.name.lower()

    def _headline(self) -> str:
        counts, total = self._ledger.counts(), self._ledger.asked
        ended, paused = self._ledger.ended, len(self._ledger.paused)
        waiting = f", {paused} paused" if paused else ""
        seconds = self._left()
        remaining = "?" if seconds is None else f"about {_clock(seconds)}"
        return (
            f"{ended}/{total} ended ({counts[TrialState.COMPLETE]} complete, "
            f"{counts[TrialState.PRUNED]} pruned, {counts[TrialState.FAIL]} failed), "
            f"{counts[TrialState.RUNNING] - paused} running{waiting}, "
            f"best {self._objective.name} {self._objective.show(self._best())}, "
            f"{_clock(self.elapsed)} elapsed, {remaining} remaining"
        )

    def _left(self) -> float | None:
        """The seconds until all is done; estimated at most once a second."""
        now = self._clock()
        if now >= self._next:
            self._seconds, self._next = self._remaining(), now + 1
            self._known_at = now
        past = now - self._known_at
        return None if self._seconds is None else max(0.0, self._seconds - past)

    def _best(self) -> float | None:
        trials = list(self._ledger.trials.values())
        ended = [trial for trial in trials if trial.state.is_finished() and trial.epochs]
        best = max(ended, key=lambda trial: trial.rank, default=None)
        return None if best is None else best.score

    def _render(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("trial", "state", "epoch", self._objective.name, "best", "train_acc"):
            table.add_column(heading, justify="right" if heading != "state" else "left")
        for key in self._ledger.plan.space:
            table.add_column(key, justify="right")
        for trial in self._shown():
            table.add_row(*self._cells(trial))
        return Group(table, Text(self._headline(), style="bold"))

    def _shown(self) -> list[TrialLog]:
        """The running trials, then the best of the rest, as many as fit."""

        def place(trial: TrialLog) -> tuple[bool, bool, float]:
            running = trial.state is TrialState.RUNNING and not trial.is_paused
            score = 0.0 if trial.score is None else self._objective.signed(trial.score)
            return not running, not trial.epochs, -score

        room = max(3, min(MAX_ROWS, self._console.size.height - 4))
        return sorted(self._ledger.trials.values(), key=place)[:room]

    def _cells(self, trial: TrialLog) -> list[RenderableType]:
        state = Text(self._state(trial), style=_STYLES[trial.state])
        last = trial.epochs[-1].metrics if trial.epochs else {}
        epochs = f"{len(trial.epochs)}/{self._config.train.epochs}"
        show, name = self._objective.show, self._objective.name
        metrics = (show(last.get(name)), show(trial.score), _percent(last.get("train_acc")))
        params = (_short(trial.params.get(key, "")) for key in self._ledger.plan.space)
        return [str(trial.number), state, epochs, *metrics, *params]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _short(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
