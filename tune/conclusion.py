"""The end of a search: its winner is tested, once, and registered."""

from __future__ import annotations

from dataclasses import replace

from trainable.array_store import open_store
from trainable.checkpoints import read_checkpoint
from trainable.device import resolve_device
from trainable.finetuner import FineTuner
from tune.config import SearchConfig
from tune.outcome import Outcome
from tune.registry import register
from tune.searcher import METRIC
from tune.tracking import SearchRecord


def conclude(config: SearchConfig, outcome: Outcome, record: SearchRecord) -> Outcome:
    """Test the winner, once, and register it."""
    winner = outcome.winner
    assert winner is not None
    device = resolve_device(
        winner.config.train.precision, config.resources.threads, use_gpu=config.resources.gpu != 0
    )
    store = open_store(config.cache.root, config.cache.max_bytes)
    tuner = FineTuner(winner.config, device, store)
    tuner.load_state_dict(read_checkpoint(winner.checkpoint)["tuner"])
    test = tuner.evaluate("test")
    scores = {
        "best_val_acc": winner.metrics[METRIC],
        "test_acc": test.accuracy,
        "test_loss": test.loss,
    }
    tags = {"tune.best_trial": winner.number, "tune.best_run": record.child(winner.trial_id)}
    record.log_summary(scores, tags)
    record.client.log_dict(record.run_id, test.summary(tuner.dataset.classes), "test.json")
    if not config.registry.register_best or outcome.interrupted:
        return replace(outcome, test=test)
    version_tags = {name: str(value) for name, value in {**scores, **tags}.items()}
    example = tuner.dataset.test.images[0]
    version = register(tuner.classifier(), example, config.model_name, record.run_id, version_tags)
    return replace(outcome, test=test, version=version)
