"""What becomes of Ray's trials, noted in the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Protocol

from ray.tune import Callback
from ray.tune.experiment import Trial

from tune.base.errors import Halt
from tune.engine.nodes import AwaitedNodes
from tune.engine.pressure import MemoryPressure
from tune.engine.ray_compat import (
    DriverOnly,
    Workers,
    could_not_fetch_data,
    error_of,
    killed_for_memory,
    lost_with_node,
)
from tune.engine.signals import interrupted
from tune.engine.stopping import TimeBudget
from tune.study.ledger import Ledger
from tune.study.trial import Decision, TrialLog, TrialState

_LOST: Final = 5
"""The machines that a trial may lose without an epoch in between, before it counts as a failure."""


class Watcher(Protocol):
    """Something that follows the ledger."""

    def changed(self, trial: TrialLog) -> None:
        """A trial has started, has reported an epoch, has been paused or has ended."""


class LedgerCallback(DriverOnly, Callback):
    """Notes in a ledger what becomes of Ray's trials, and notifies those that follow it.

    Args:
        ledger: The search's ledger.
        watchers: Those that are notified of each change, in this order.
        pressure: Is notified of what Ray kills for lack of memory.
        budget: When the time is up.
        max_failures: How often a trial goes on after its worker died.
        nodes: Those on which trials run, where they come and go; one is waited for if none is left.
    """

    def __init__(
        self,
        ledger: Ledger,
        watchers: Sequence[Watcher],
        pressure: MemoryPressure,
        budget: TimeBudget,
        max_failures: int = 0,
        nodes: AwaitedNodes | None = None,
    ) -> None:
        self._ledger, self._watchers, self._max_failures = ledger, watchers, max_failures
        self._pressure, self._budget, self._workers = pressure, budget, Workers()
        self._nodes = nodes
        self._failures: Counter[int] = Counter()
        self._lost: dict[int, tuple[int, int]] = {}

    def kill_workers(self) -> None:
        """End the processes of all trials, whatever they do."""
        self._workers.kill()

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """A trial has started, or goes on."""
        self._workers.add(trial)
        self._notify(trial)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Once the time is up, do not let the workers finish the epochs that they are at.

        Raises:
            Halt: No node has been left for too long.
            KeyboardInterrupt: Something said to stop, and what it raised was lost on the way.
        """
        if interrupted():
            raise KeyboardInterrupt
        if self._budget.stop_all():
            self._workers.kill()
        elif self._nodes is not None:
            self._nodes.check()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Note an epoch.

        Raises:
            Halt: The trial cannot go on, and neither can another.
        """
        if "halt" in result:
            raise Halt(result["halt"])
        if "error" in result:
            return
        # The last epoch of a trial that ends itself: Ray asks no scheduler about it.
        self._ledger.add_epoch(trial.config["number"], result["epoch"], result, Decision.GO_ON)
        self._pressure.reported()
        self._notify(trial)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Note the end of a trial that ended itself or was stopped, or that it pauses."""
        number, result = trial.config["number"], trial.last_result
        if "error" in result:
            self._end(trial, TrialState.FAIL, result["error"])
        elif result["finished"]:
            self._end(trial, TrialState.COMPLETE)
        elif self._ledger.trials[number].is_paused:
            self._ledger.release(number)
            self._notify(trial)
        else:
            self._end(trial, TrialState.PRUNED)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Have a trial go on whose worker died, or note its end if that was once too often.

        Ray would have some of them go on too, but not one whose worker dies between two trials.

        Raises:
            Halt: Ray kills them for lack of memory, again and again.
        """
        number = trial.config["number"]
        innocent = lost_with_node(trial) or could_not_fetch_data(trial)
        if innocent and not self._takes_machines_along(number):
            self._ledger.release(number)
            return
        if killed_for_memory(trial):  # whatever it is that takes the memory
            running = len(self._ledger.running)
            self._ledger.release(number)
            self._pressure.killed(running)
            return
        self._failures[number] += 1
        if self._failures[number] <= self._max_failures:
            self._ledger.release(number)
        else:
            self._end(trial, TrialState.FAIL, error_of(trial))

    def _takes_machines_along(self, number: int) -> bool:
        """Whether a trial's machine was lost again and again without an epoch in between.

        That a machine is taken away, or gets no data, is no trial's fault, until it never comes any
        further.
        """
        epochs = len(self._ledger.trials[number].epochs)
        before, times = self._lost.get(number, (epochs, 0))
        times = times + 1 if before == epochs else 1
        self._lost[number] = epochs, times
        return times > _LOST

    def _end(self, trial: Trial, state: TrialState, error: str | None = None) -> None:
        self._ledger.end(trial.config["number"], state, error)
        self._pressure.ended()
        self._notify(trial)

    def _notify(self, trial: Trial) -> None:
        log = self._ledger.trials[trial.config["number"]]
        for watcher in self._watchers:
            watcher.changed(log)
