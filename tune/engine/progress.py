"""What a person sees while a search runs: a live table, or plain lines without a terminal."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tune.config.durations import as_clock
from tune.engine.columns import GAP, Column, Layout, fit
from tune.study.ledger import Ledger
from tune.study.trial import TrialLog, TrialState

_STATE: Final = "state"
_HEAD_LINES: Final = 4
"""The lines that headings, and what is said of keys without room, take at most."""
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
        elapsed: The seconds since the command began, in which this may be one phase of several.
        clock: Seconds that never run backwards.
    """

    def __init__(
        self,
        ledger: Ledger,
        console: Console,
        remaining: Callable[[], float | None] = lambda: None,
        elapsed: Callable[[], float] = lambda: 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._ledger = ledger.config, ledger
        self._objective = ledger.objective
        # A refit trains on the validation images, of which its scores then say nothing.
        self._is_judged = ledger.kind != "refit"
        self._console, self._remaining, self._clock = console, remaining, clock
        self._elapsed = elapsed
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
        rests = trial.state.is_finished() or trial in self._ledger.paused
        if rests and not self._console.is_terminal:
            self._console.print(f"{self._line(trial)} | {self._headline()}", soft_wrap=True)

    def _line(self, trial: TrialLog) -> str:
        params = " ".join(f"{key}={_short(value)}" for key, value in trial.params.items())
        objective, kind, state = self._objective, self._ledger.kind, self._state(trial)
        score = f"{objective.name}={objective.show(trial.score)} " if self._is_judged else ""
        reached = f"{score}epoch {len(trial.epochs)}"
        return f"{kind} {trial.number:3d} {state:8s} {trial.error or reached} {params}"

    def _state(self, trial: TrialLog) -> str:
        paused = any(log.number == trial.number for log in self._ledger.paused)
        return "paused" if paused else trial.state.name.lower()

    def _headline(self) -> str:
        counts, total = self._ledger.counts(), self._ledger.asked
        ended, paused = self._ledger.ended, len(self._ledger.paused)
        waiting = f", {paused} paused" if paused else ""
        seconds = self._left()
        remaining = "?" if seconds is None else f"about {as_clock(seconds)}"
        best = f"best {self._objective.name} {self._objective.show(self._best())}, "
        return (
            f"{ended}/{total} ended ({counts[TrialState.COMPLETE]} complete, "
            f"{counts[TrialState.PRUNED]} pruned, {counts[TrialState.FAIL]} failed), "
            f"{counts[TrialState.RUNNING] - paused} running{waiting}, "
            f"{best if self._is_judged else ''}"
            f"{as_clock(self._elapsed())} elapsed, {remaining} remaining"
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
        """The best score so far, also of a trial that is running, but of none that has failed."""
        logs = list(self._ledger.trials.values())
        trials = [log for log in logs if log.epochs and log.state is not TrialState.FAIL]
        best = max(trials, key=lambda trial: trial.rank, default=None)
        return None if best is None else best.score

    def _render(self) -> RenderableType:
        headline = Text(self._headline(), style="bold")
        width, height = self._console.size
        room = height - len(headline.wrap(self._console, width)) - _HEAD_LINES - 1
        trials = self._shown(max(3, min(MAX_ROWS, room)))
        layout = fit(self._columns(trials), self._values(trials), width)
        parts: list[RenderableType] = [self._table(layout, trials), headline]
        if layout.left_out:
            left_out, names = len(layout.left_out), ", ".join(layout.left_out)
            note = f"no room for {left_out} of {len(self._ledger.plan.space)} keys: {names}"
            parts.append(Text(note, style="dim", no_wrap=True, overflow="ellipsis"))
        return Group(*parts)

    def _table(self, layout: Layout, trials: Sequence[TrialLog]) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        for column in layout.columns:
            justify: JustifyMethod = "left" if column.head == _STATE else "right"
            table.add_column(column.head, justify=justify, no_wrap=True, vertical="bottom")
        for row, trial in enumerate(trials):
            styled = {_STATE: _STYLES[trial.state]}
            table.add_row(
                *(Text(each.cells[row], styled.get(each.head, "")) for each in layout.columns)
            )
        return table

    def _shown(self, rows: int) -> list[TrialLog]:
        """The running trials, then the best of the rest, as many as fit."""

        def place(trial: TrialLog) -> tuple[bool, bool, float]:
            running = trial.state is TrialState.RUNNING and not trial.is_paused
            score = 0.0 if trial.score is None else self._objective.signed(trial.score)
            return not running, not trial.epochs, -score

        return sorted(self._ledger.trials.values(), key=place)[:rows]

    def _columns(self, trials: Sequence[TrialLog]) -> list[Column]:
        """What is shown of each trial besides what is searched."""
        show, name = self._objective.show, self._objective.name
        last = [trial.epochs[-1].metrics if trial.epochs else {} for trial in trials]
        epochs = (f"{len(trial.epochs)}/{self._config.train.epochs}" for trial in trials)
        scores = [
            Column(name, tuple(show(each.get(name)) for each in last), spare=1),
            Column("best", tuple(show(trial.score) for trial in trials)),
        ]
        return [
            Column("trial", tuple(str(trial.number) for trial in trials)),
            Column(_STATE, tuple(map(self._state, trials))),
            Column("epoch", tuple(epochs)),
            *(scores if self._is_judged else []),
            Column("train_acc", tuple(_percent(each.get("train_acc")) for each in last), spare=2),
        ]

    def _values(self, trials: Sequence[TrialLog]) -> dict[str, list[Any]]:
        """The values of the searched keys, "" where a trial does not have one."""
        return {
            key: [trial.params.get(key, "") for trial in trials] for key in self._ledger.plan.space
        }


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _short(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)
