"""Checkpoints that nothing will ask for again."""

from __future__ import annotations

from optuna.trial import TrialState

from trainable.checkpoints import BEST, LAST
from tune.study.folder import SearchHome
from tune.study.trial import Kind, TrialLog


class DropUnneeded:
    """Deletes what trials that have ended leave: all but the best one of those that completed.

    Args:
        home: Of the search.
        kind: Of the trials.
    """

    def __init__(self, home: SearchHome, kind: Kind) -> None:
        self._home, self._kind = home, kind

    def changed(self, trial: TrialLog) -> None:
        """Delete what a trial leaves that will not go on."""
        if trial.state.is_finished():
            complete = trial.state is TrialState.COMPLETE
            for pattern in (f"{LAST}*",) if complete else (f"{LAST}*", BEST):
                for path in self._home.trial(trial.number, self._kind).glob(pattern):
                    path.unlink(missing_ok=True)
