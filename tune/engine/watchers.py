"""Those that follow trials: one deletes checkpoints, one gives up on a hopeless search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trainable.checkpoints import BEST, LAST
from tune.base.errors import Halt
from tune.strategy.choice import Choice
from tune.strategy.confirmation import Finalist
from tune.study.away import halting
from tune.study.folder import SearchFolder
from tune.study.ledger import Ledger
from tune.study.search import Kind
from tune.study.trial import TrialLog, TrialState

GIVE_UP_AFTER: Final = 5
"""Trials that fail, and none that does not, before a search gives up."""


class DropUnneeded:
    """Deletes the checkpoints of trials that have ended, but for those that may be asked for.

    Of the best of those that completed, or may become the best for what they cost, the best
    checkpoint stays; as long as none has completed, that of the best that was stopped. What was cut
    short stays as it is, since it may go on.

    Args:
        home: The search's folder.
        kind: What the trials are.
        keep: How many of the best are kept.
        choice: Says which are the best.
    """

    def __init__(self, home: SearchFolder, kind: Kind, keep: int, choice: Choice) -> None:
        self._home, self._kind, self._keep, self._choice = home, kind, keep, choice
        self._ended: dict[int, TrialLog] = {}
        self._kept = set[int]()

    def changed(self, trial: TrialLog) -> None:
        """Delete what nobody will ask for any more.

        Raises:
            Halt: The storage is away.
        """
        if not trial.state.is_finished() or trial.cut_short:
            return
        self._delete(trial, f"{LAST}*")
        self._ended[trial.number] = trial
        best = self._choice.may_be_chosen(self._ended.values(), self._keep, timed=True)
        now = {log.number for log in best}
        for number in (self._kept | {trial.number}) - now:
            self._delete(self._ended[number], BEST)
        self._kept = now

    def _delete(self, trial: TrialLog, pattern: str) -> None:
        place = self._home.checkpoints(trial.number, self._kind)
        with halting(OSError):
            place.delete(*place.names(pattern))


def drop_former(home: SearchFolder, confirmed: Ledger, chosen: Sequence[Finalist]) -> None:
    """Delete the checkpoints of runs whose finalist is none any more, of a search that grew."""
    needed = {run.number for finalist in chosen for run in finalist.runs}
    for log in confirmed.trials.values():
        if log.state is TrialState.COMPLETE and log.number not in needed:
            home.checkpoints(log.number, confirmed.kind).delete(BEST)


class GiveUp:
    """Halts a search in which every trial fails, while there are more to come.

    Args:
        trials: How many are to run.
    """

    def __init__(self, trials: int) -> None:
        self._trials = trials
        self._failed: list[TrialLog] = []
        self._hope = False

    def changed(self, trial: TrialLog) -> None:
        """Count a trial that has ended, or pauses.

        Raises:
            Halt: All of them failed.
        """
        if trial.cut_short:
            return
        if trial.state is TrialState.FAIL:
            self._failed.append(trial)
        elif trial.state.is_finished() or trial.is_paused:
            self._hope = True
        if not self._hope and GIVE_UP_AFTER <= len(self._failed) < self._trials:
            last = self._failed[-1]
            raise Halt(
                f"all of the first {len(self._failed)} trials failed, trial {last.number} "
                f"for this reason: {last.error}"
            )
