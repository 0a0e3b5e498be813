"""A scheduler from outside: it stops every trial but the first after its third epoch."""

from __future__ import annotations

from tune.config.registries import SCHEDULERS
from tune.strategy.schedulers import Scheduler
from tune.study.ledger import Ledger
from tune.study.trial import Decision, Epoch, TrialLog


@SCHEDULERS.register("third_epoch")
class ThirdEpoch(Scheduler):
    """Looks at nothing but the number of a trial and of its epoch."""

    def decide(self, study: Ledger, trial: TrialLog, epoch: Epoch) -> Decision:
        """Stop at the third epoch."""
        third = len(trial.epochs) + 1 == 3
        return Decision.STOP if third and trial.number > 0 else Decision.GO_ON
