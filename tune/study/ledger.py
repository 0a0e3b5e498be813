"""What happened in a search, trial by trial: in memory, and first in Optuna's storage.

The storage is the truth. Whatever else there is (the record in MLflow, the decisions of the
scheduler, the progress on the screen) is made of it, at the start of a search as after a kill.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from trainable.judging.objective import Objective
from tune.config.schema import SearchConfig
from tune.config.walk import is_whole_trial, walk
from tune.study.distributions import distributions, suggest
from tune.study.plan import Plan
from tune.study.storage import PATIENCE, patiently
from tune.study.trial import (
    CUT_SHORT,
    ERROR,
    FACTS,
    Decision,
    Epoch,
    TrialLog,
    epoch_key,
    milliseconds,
)

_Result = TypeVar("_Result")


class Ledger:
    """The trials of a search, in a storage of Optuna's.

    Args:
        study: The study that holds them.
        config: The search; the base of its config gives every value that is not searched.
        plan: What its trials are to be.
        patience: Seconds for which the storage is waited for.

    Attributes:
        asked: How many trials there are to be.
        trials: By number.
        objective: What makes one better than another.
        check: Called before each write: raises where another process may run the search.
    """

    def __init__(
        self, study: Study, config: SearchConfig, plan: Plan, patience: float = PATIENCE
    ) -> None:
        self.study, self._patience = study, patience
        self.check: Callable[[], None] = lambda: None
        self.config, self.plan, self.kind = config, plan, plan.kind
        self.objective = Objective.of(config.objective)
        self._distributions, self._own = distributions(plan.space), config.own
        self._handles: dict[int, Trial] = {}
        self.trials: dict[int, TrialLog] = {}
        self._undrawn = set[int]()
        """The trials of which a process that was killed had not drawn all values."""
        stored, planned = self._stored(), len(study.get_trials(deepcopy=False))
        # Older searches may have more trials than differ from each other.
        self.asked = planned if plan.asked is None else max(plan.asked, len(stored))
        for frozen in stored:
            if is_whole_trial(plan.space, self._own, frozen.params):
                self.trials[frozen.number] = TrialLog.of(frozen, self.objective)
            elif frozen.state is TrialState.RUNNING:
                self._undrawn.add(frozen.number)

    def begin(self) -> TrialLog:
        """The next trial to run: a new one, or one that was neither ended nor paused."""
        return self._take(self.write(self._next))

    def go_on(self, number: int) -> TrialLog:
        """Take up a trial that was started before and that nobody runs now."""

        def find() -> Trial:
            trials = self.study.get_trials(deepcopy=False)
            trial_id = next(frozen._trial_id for frozen in trials if frozen.number == number)
            return Trial(self.study, trial_id)

        assert number not in self._handles
        return self._take(patiently(find, self._patience))

    def has_more(self, *, new: bool = True) -> bool:
        """Whether :meth:`begin` has a trial to give.

        Args:
            new: Whether it may be one that was never started.
        """
        waiting = (not log.is_paused and log.number not in self._handles for log in self.unfinished)
        return (new and len(self.trials) < self.asked) or bool(self._undrawn) or any(waiting)

    def release(self, number: int) -> None:
        """Let a trial go that nobody runs any more, to be taken up again."""
        del self._handles[number]

    def add_epoch(
        self, number: int, epoch: int, result: Mapping[str, Any], decision: Decision
    ) -> None:
        """Note an epoch, unless it is known: a trial that went on reports its last again."""
        log = self.trials[number]
        if epoch <= len(log.epochs):
            return
        assert epoch == len(log.epochs) + 1, f"trial {number} reported epoch {epoch} too early"
        # A clock that is set back does not change the order.
        at = max(_now(), log.epochs[-1].at if log.epochs else 0)
        new = Epoch({name: result[name] for name in self.objective.epoch_metrics}, at, decision)
        facts = {name: result[name] for name in FACTS if name in result}
        changed = {name: value for name, value in facts.items() if log.facts.get(name) != value}
        self.write(lambda: self._write_epoch(number, epoch, new, changed))
        log.facts = facts
        log.epochs.append(new)

    def end(
        self,
        number: int,
        state: TrialState,
        error: str | None = None,
        *,
        cut_short: bool = False,
    ) -> None:
        """Note what became of a trial: COMPLETE with its best value, PRUNED, or FAIL.

        Args:
            number: The trial's.
            state: What became of it.
            error: The reason, if it failed.
            cut_short: Whether it ended because the search's time was up.
        """
        log = self.trials[number]
        if number not in self._handles:  # of a trial that was paused, or whose worker died
            self.go_on(number)
        value = log.score if state is TrialState.COMPLETE else None
        attrs: dict[str, Any] = {} if error is None else {ERROR: error}
        attrs |= {CUT_SHORT: True} if cut_short else {}
        ended = self.write(lambda: self._write_end(number, state, value, attrs))
        log.error, log.cut_short, log.ended = error, cut_short, ended
        log.state = state

    def write(self, action: Callable[[], _Result]) -> _Result:
        """Write to the study as the process that runs the search; where it is away, wait for it.

        Args:
            action: What is written; done twice, it comes to the same.

        Raises:
            Halt: The storage is full, or it could not be written for too long.
        """

        def checked() -> _Result:
            self.check()  # each time: while this one waits, another may take the search over
            return action()

        return patiently(checked, self._patience)

    def await_turn(self) -> None:
        """Make sure that this process runs the search, before it writes elsewhere what it found.

        Raises:
            Halt: It could not be known for too long.
        """
        self.write(lambda: None)

    def decision(self, number: int, epoch: int) -> Decision | None:
        """What was decided after an epoch; None if it has not been reported."""
        epochs = self.trials[number].epochs
        return epochs[epoch - 1].decision if epoch <= len(epochs) else None

    def counts(self) -> Counter[TrialState]:
        """How many trials are in each state."""
        return Counter(log.state for log in list(self.trials.values()))

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return sum(log.state.is_finished() for log in list(self.trials.values()))

    @property
    def unfinished(self) -> list[TrialLog]:
        """Trials that were started and have not ended."""
        logs = list(self.trials.values())  # another thread may look
        return [log for log in logs if not log.state.is_finished()]

    @property
    def running(self) -> list[TrialLog]:
        """Trials that somebody runs now."""
        return [log for log in self.unfinished if log.number in self._handles]

    @property
    def paused(self) -> list[TrialLog]:
        """Trials that wait for their scheduler to let them go on."""
        return [log for log in self.unfinished if log.is_paused and log.number not in self._handles]

    def _take(self, handle: Trial) -> TrialLog:
        number = handle.number
        self._handles[number] = handle
        self._undrawn.discard(number)
        if number not in self.trials:
            started = milliseconds(handle.datetime_start)
            params = dict(handle.params)
            self.trials[number] = TrialLog(number, params, started, objective=self.objective)
        return self.trials[number]

    def _next(self) -> Trial:
        handle = self._begun() or self.study.ask()
        walk(self.plan.space, self._own, lambda key: suggest(handle, key, self._distributions[key]))
        return handle

    def _begun(self) -> Trial | None:
        """A trial that the storage has as running, is not paused, and nobody here runs."""
        for frozen in self._stored():
            if frozen.state is TrialState.RUNNING and frozen.number not in self._handles:
                log = self.trials.get(frozen.number)
                if log is None or not log.is_paused:
                    return Trial(self.study, frozen._trial_id)
        return None

    def _stored(self) -> list[FrozenTrial]:
        trials = self.study.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.state is not TrialState.WAITING]

    def _write_epoch(self, number: int, epoch: int, new: Epoch, facts: dict[str, Any]) -> None:
        """Write an epoch to the storage, past the handle, which would read the trial back."""
        handle = self._handles[number]
        storage, trial_id = handle.storage, handle._trial_id
        for name, value in facts.items():
            storage.set_trial_user_attr(trial_id, name, value)
        # The value first: an epoch counts as reported once its attribute is there.
        storage.set_trial_intermediate_value(trial_id, epoch, self.objective.score(new.metrics))
        storage.set_trial_user_attr(trial_id, epoch_key(epoch), new.written())

    def _write_end(
        self, number: int, state: TrialState, value: float | None, attrs: Mapping[str, Any]
    ) -> int:
        handle = self._handles[number]
        try:
            for name, attr in attrs.items():
                handle.set_user_attr(name, attr)
            frozen = self.study.tell(handle, value, state=state, skip_if_finished=True)
        except UpdateFinishedTrialError:  # an attempt before this one came through after all
            frozen = handle.storage.get_trial(handle._trial_id)
        return milliseconds(frozen.datetime_complete)


class Ledgers(NamedTuple):
    """All trials of a search, in the order in which they run.

    Attributes:
        searched: The search's own.
        confirmed: The finalists' runs, if there were any.
        refitted: The winner's on all images, if there was one.
    """

    searched: Ledger
    confirmed: Ledger | None = None
    refitted: Ledger | None = None

    @property
    def all(self) -> list[Ledger]:
        """Those that there are."""
        return [ledger for ledger in self if ledger is not None]


def _now() -> int:
    return int(time.time() * 1000)
