"""What happens to Ray's trials, told to the record in a thread of its own.

The search need not wait for MLflow, whose first database takes seconds to make; and MLflow is
imported by that thread, while the first trials start.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState
from ray.tune import Callback
from ray.tune.experiment import Trial

from tune.cluster import DriverOnly
from tune.config import SearchConfig
from tune.searcher import final_state

if TYPE_CHECKING:
    from tune.tracking import SearchRecord


class RecordWriter:
    """Writes to a record in the order in which it is told to, and opens it when it must.

    By then the first trial starts, whose processes have the CPUs to themselves until then.

    Args:
        config: The search that is recorded.
        name: Of the search.
    """

    def __init__(self, config: SearchConfig, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, "record")
        self._open = functools.cache(lambda: _open(config, name))
        self._writes: list[Future[None]] = []

    def tell(self, write: Callable[[SearchRecord], None]) -> None:
        """Have this written, after all that was told before."""
        self._writes = [past for past in self._writes if not past.done() or past.exception()]
        self._writes.append(self._thread.submit(lambda: write(self._open())))

    def finish(self) -> SearchRecord:
        """Wait until all is written; returns the record.

        Raises:
            Exception: The first thing that went wrong with it.
        """
        self._thread.shutdown()
        for write in self._writes:
            write.result()
        return self._open()


def _open(config: SearchConfig, name: str) -> SearchRecord:
    from tune.tracking import SearchRecord

    return SearchRecord(config, name)


class MlflowCallback(DriverOnly, Callback):
    """Tells a writer what happens to Ray's trials."""

    def __init__(self, writer: RecordWriter) -> None:
        self._writer = writer

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Open the run."""
        trial_id, at = trial.trial_id, _now()
        number, params = trial.config["number"], trial.config["trial"]
        self._writer.tell(lambda record: record.start_trial(trial_id, number, params, at))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Record the epoch."""
        trial_id, result, at = trial.trial_id, dict(result), _now()
        self._writer.tell(lambda record: record.log_epoch(trial_id, result, at))

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Close the run of a trial that ended or was stopped."""
        self._end(trial, final_state(trial.last_result))

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Close the run of a trial that broke."""
        self._end(trial, TrialState.FAIL, error_of(trial))

    def _end(self, trial: Trial, state: TrialState, error: str | None = None) -> None:
        trial_id, at = trial.trial_id, _now()
        self._writer.tell(lambda record: record.end_trial(trial_id, state, error, at))


def error_of(trial: Trial) -> str:
    """The last line of what broke a trial."""
    # Not trial.get_error(), whose file in the experiment's storage comes later.
    text = Path(trial.error_file).read_text() if trial.error_file else "unknown error"
    return text.strip().splitlines()[-1][:500]


def _now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)
