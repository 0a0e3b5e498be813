"""Those that follow trials: one deletes checkpoints, one gives up on a hopeless search."""

from __future__ import annotations

from typing import Final

from trainable.checkpoints import BEST, LAST
from tune.errors import Halt
from tune.study.folder import SearchFolder
from tune.study.search import Kind
from tune.study.trial import TrialLog, TrialState

GIVE_UP_AFTER: Final = 5
"""Trials that fail, and none that does not, before a search gives up."""


class DropUnneeded:
    """Deletes what trials that have ended leave: all but the best one of those that completed.

    Args:
        home: The search's folder.
        kind: What the trials are.
    """

    def __init__(self, home: SearchFolder, kind: Kind) -> None:
        self._home, self._kind = home, kind

    def changed(self, trial: TrialLog) -> None:
        """Delete what a trial leaves that will not go on."""
        if trial.state.is_finished():
            complete = trial.state is TrialState.COMPLETE
            for pattern in (f"{LAST}*",) if complete else (f"{LAST}*", BEST):
                for path in self._home.trial(trial.number, self._kind).glob(pattern):
                    path.unlink(missing_ok=True)


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
