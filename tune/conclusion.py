"""The end of a search: its winner is tested and registered, once."""

from __future__ import annotations

import warnings
from dataclasses import replace

from trainable.array_store import open_store
from trainable.checkpoints import BEST, CheckpointError, read_checkpoint
from trainable.device import resolve_device
from trainable.finetuner import FineTuner
from trainable.metrics import Predictions
from tune.home import Search, SearchHome
from tune.outcome import Outcome
from tune.recording import RecordWriter, UnrecordedError
from tune.registry import crown, find_version, register
from tune.tracking import FAILURES, SearchRecord
from tune.trial_log import METRIC, TrialLog


def conclude(
    search: Search, home: SearchHome, winner: TrialLog | None, writer: RecordWriter
) -> Outcome:
    """Test the winner, register it, and close the record.

    Each may have been done before by a process that was killed, and is not done twice.

    Args:
        search: The search.
        home: Its folder.
        winner: Its best trial, if one was completed.
        writer: Of its record.
    """
    outcome = Outcome(winner)
    tuner = test = None
    if winner is not None:
        tuner = trained(search, home, winner)
        test = tuner.evaluate("test")
        outcome = replace(outcome, test=test)
    try:
        record = writer.finish()
        if winner is not None and tuner is not None and test is not None:
            version = _record_winner(search, winner, tuner, test, record)
            outcome = replace(outcome, version=version)
        record.close("FAILED" if winner is None else "FINISHED")
    except UnrecordedError as error:
        return replace(outcome, unrecorded=str(error))
    except FAILURES as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return replace(outcome, unrecorded=f"MLflow was not told all of the model: {reason}")
    return outcome


def trained(search: Search, home: SearchHome, winner: TrialLog) -> FineTuner:
    """The winner as it was after its best epoch."""
    config = search.config
    trial = config.trial(winner.params)
    device = resolve_device(
        trial.train.precision, config.resources.threads, use_gpu=config.resources.gpu != 0
    )
    store = open_store(config.cache.root, config.cache.max_bytes)
    tuner = FineTuner(trial, device, store, winner.facts["micro_batches"])
    path = home.trial(winner.number) / BEST
    try:
        tuner.load_state_dict(read_checkpoint(path)["tuner"])
    except CheckpointError as error:
        warnings.warn(f"{error}: the trial is run again", stacklevel=2)
        while tuner.epoch != winner.best:
            tuner.train_epoch()
    return tuner


def _record_winner(
    search: Search,
    winner: TrialLog,
    tuner: FineTuner,
    test: Predictions,
    record: SearchRecord,
) -> int | None:
    """Put the winner on the parent run and into the registry. Returns its version."""
    scores = {
        "best_val_acc": winner.best_epoch.metrics[METRIC],
        "test_acc": test.accuracy,
        "test_loss": test.loss,
    }
    tags = {"tune.best_trial": winner.number, "tune.best_run": record.child(winner.number)}
    record.log_summary(scores, tags)
    record.client.log_dict(record.run_id, test.summary(tuner.dataset.classes), "test.json")
    if not search.config.registry.register_best:
        return None
    version_tags = {name: str(value) for name, value in {**scores, **tags}.items()}
    known = find_version(search.config.model_name, record.run_id, version_tags)
    if known is not None:
        crown(search.config.model_name, known)
        return known
    example = tuner.dataset.test.images[0]
    return register(
        tuner.classifier(), example, search.config.model_name, record.run_id, version_tags
    )
