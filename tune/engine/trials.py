"""The trials of a study, run by Ray Tune until as many have ended as were asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from ray.exceptions import RayError
from ray.tune import Callback, CheckpointConfig, RunConfig, TuneConfig, Tuner, with_resources
from ray.tune.experiment import Trial
from rich.console import Console

from trainable.ray_trainable import FineTuneTrainable
from tune.base.errors import Halt, first_line
from tune.engine.bridge import LedgerScheduler, LedgerSearcher
from tune.engine.callback import LedgerCallback, Watcher
from tune.engine.cluster import is_own
from tune.engine.loggers import loggers
from tune.engine.nodes import AwaitedNodes
from tune.engine.pressure import MemoryPressure
from tune.engine.progress import Progress
from tune.engine.ray_compat import is_of_memory
from tune.engine.resources import Capacity, TrialResources
from tune.engine.signals import interrupted
from tune.engine.stopping import TimeBudget
from tune.engine.watchers import DropUnneeded, GiveUp
from tune.strategy.choice import Choice
from tune.strategy.remaining import remaining_seconds
from tune.strategy.schedulers import Scheduler
from tune.study.folder import SearchFolder
from tune.study.ledger import Ledger
from tune.study.trial import TrialState

_RAY: Final = "ray"
"""The folder, in the search's, of what Ray writes; nothing reads it again."""


def run_trials(
    ledger: Ledger,
    scheduler: Scheduler,
    budget: TimeBudget,
    *,
    choice: Choice,
    home: SearchFolder,
    resources: TrialResources,
    fingerprint: str,
    weights_hash: str | None,
    search: str,
    record: Watcher,
    console: Console,
    elapsed: Callable[[], float],
) -> None:
    """Run trials until as many have ended as were asked for, or the time is up.

    Args:
        ledger: What has run so far, and what is to run.
        scheduler: Decides which trials go on.
        budget: When the time is up.
        choice: Says which trials' checkpoints are kept.
        home: The search's folder.
        resources: What a trial gets.
        fingerprint: The images' that each trial is to find.
        weights_hash: Of the first weights that each trial is to find.
        search: The identity of the search, which each trial is to find where others may run too.
        record: Follows the trials for the record.
        console: Where progress is shown.
        elapsed: The seconds since the command began.

    Raises:
        Halt: It cannot go on for now.
    """
    remaining, ledger.check = ledger.asked - ledger.ended, home.check_own
    drop = DropUnneeded(home, ledger.kind, _kept(ledger), choice)
    for log in ledger.trials.values():  # a kill may have come before it was done
        drop.changed(log)
    if remaining <= 0 or (scheduler.has_enough(ledger) and not ledger.unfinished):
        return
    what = "trials" if ledger.kind == "trial" else ledger.kind
    console.print(f"{what:8s} {remaining}, {resources.describe()}")

    def left() -> float | None:
        return budget.until_end(remaining_seconds(ledger, scheduler, resources.concurrent))

    with Progress(ledger, console, left, elapsed) as progress:
        # Finalists that all fail when they run again are registered as they are.
        give_up = [GiveUp(remaining)] if ledger.kind == "trial" else []
        watchers: list[Watcher] = [record, progress, drop, *give_up]
        if budget.stop_all():
            _end_unfinished(ledger, watchers)
            return
        pressure, failures = MemoryPressure(console.print), ledger.config.budget.max_failures
        capacity = None if is_own() else Capacity(ledger.config.resources, resources)
        nodes = None if capacity is None else _awaited(capacity, console)
        callback = LedgerCallback(ledger, watchers, pressure, budget, failures, nodes)
        asked = LedgerScheduler(ledger, scheduler)
        tuner = Tuner(
            with_resources(FineTuneTrainable, {"cpu": resources.cpu, "gpu": resources.gpu}),
            tune_config=TuneConfig(
                search_alg=LedgerSearcher(
                    ledger,
                    scheduler,
                    home,
                    resources,
                    pressure,
                    budget,
                    watchers,
                    fingerprint,
                    weights_hash,
                    capacity,
                    search if home.shared is not None or capacity is not None else None,
                ),
                scheduler=asked,
                num_samples=-1,  # the searcher says when there are no more
                max_concurrent_trials=resources.concurrent if capacity is None else None,
                reuse_actors=True,
                trial_dirname_creator=_folder_name,
            ),
            run_config=_run_config(home, budget, [callback, *loggers(ledger.config, home)]),
        )
        _fit(tuner, callback, asked)
        if interrupted():  # within Ray's code, what a signal raises may be lost
            raise KeyboardInterrupt
        if budget.stop_all():
            _end_unfinished(ledger, watchers)
        elif ledger.unfinished or not (
            ledger.ended >= ledger.asked or scheduler.has_enough(ledger)
        ):
            raise Halt("Ray has ended before the last trial did")


def _awaited(capacity: Capacity, console: Console) -> AwaitedNodes:
    """The nodes of a cluster, of which one is waited for where none has room for a trial."""
    say = partial(console.print, "nodes   ", soft_wrap=True, markup=False)
    return AwaitedNodes(lambda: capacity() > 0, say)


def _kept(ledger: Ledger) -> int:
    """Of how many of the best a checkpoint stays."""
    confirm = ledger.config.confirm
    if ledger.kind == "trial":
        return max(1, confirm.top_k)
    # What has run on a fold is never registered.
    return 0 if ledger.kind == "confirm" and confirm.over_folds else ledger.asked


def _fit(tuner: Tuner, callback: LedgerCallback, asked: LedgerScheduler) -> None:
    ended = False
    try:
        tuner.fit()
        ended = True
    except (RayError, RuntimeError) as error:
        # What waits for a worker may learn of its end by an error of its own.
        if not isinstance(error, RayError) and not is_of_memory(error):
            raise
        raise Halt(f"Ray could not go on: {first_line(error)}") from error
    finally:
        if not ended and not is_own():  # a Ray of our own ends, another's would keep its workers
            callback.kill_workers()
            asked.release()


def clear_away(home: SearchFolder) -> None:
    """Delete what Ray has written of a search."""
    shutil.rmtree(home.folder / _RAY, ignore_errors=True)


def _run_config(home: SearchFolder, budget: TimeBudget, callbacks: list[Callback]) -> RunConfig:
    clear_away(home)  # what a run before this one has left
    return RunConfig(
        name=_RAY,
        storage_path=str(home.folder),
        stop=budget,
        callbacks=callbacks,
        checkpoint_config=CheckpointConfig(checkpoint_at_end=False),  # trials keep their own
        verbose=0,
    )


def _folder_name(trial: Trial) -> str:
    return Path(trial.config["folder"]).name


def _end_unfinished(ledger: Ledger, watchers: Sequence[Watcher]) -> None:
    """Note that the time was up for what was running; with more, it goes on."""
    for log in ledger.unfinished:
        state = TrialState.PRUNED if log.epochs else TrialState.FAIL
        error = None if log.epochs else "the time was up before its first epoch"
        ledger.end(log.number, state, error, cut_short=True)
        for watcher in watchers:
            watcher.changed(log)
