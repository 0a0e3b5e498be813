"""Studies without a search: ledgers, and what trials report."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from optuna.study import Study, create_study

from trainable.judging.objective import Objective
from tune.config.schema import SearchConfig
from tune.strategy.portfolio import open_search, search_plan
from tune.study.ledger import Ledger
from tune.study.search import Search
from tune.study.storage import open_storage


def search_of(config: SearchConfig, url: str, name: str = "one", identity: str = "id") -> Search:
    """A search as it is begun, with its study at a URL."""
    tracking = config.tracking.model_copy(update={"study": url})
    return Search(
        name=name,
        config=config.model_copy(update={"tracking": tracking}),
        data_fingerprint="data",
        weights_hash=None,
        identity=identity,
    )


def ledger_of(config: SearchConfig, url: str, name: str = "one", identity: str = "id") -> Ledger:
    """The ledger of a search, opened as after a kill if it is there."""
    prepare_storage(url)
    return open_search(search_of(config, url, name, identity))


def prepare_storage(url: str) -> None:
    """Put an empty storage at a URL of SQLite's, unless one is there: Optuna takes longer."""
    path = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:///") and not path.exists() and path.parent.is_dir():
        path.write_bytes(_empty_storage())


@cache
def _empty_storage() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "optuna.db"
        storage = open_storage(f"sqlite:///{path}")
        storage.remove_session()
        storage.engine.dispose()
        return path.read_bytes()


def ledger_in_memory(config: SearchConfig, study: Study | None = None) -> Ledger:
    """A ledger whose study lives in this process, without the points that come first."""
    plan = search_plan("one", config)
    if study is None:
        goal = Objective.named(config.objective.metric).metric.goal
        study = create_study(direction=goal, sampler=plan.sampler)
    return Ledger(study, config, plan)


def reported(accuracy: float, loss: float = 1.0) -> dict[str, Any]:
    """What a trial reports after an epoch."""
    metrics = {"train_loss": 1.0, "train_acc": 0.5, "val_loss": loss, "epoch_seconds": 2.0}
    facts = {
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
        "micro_batches": 1,
        "compiled": False,
        "processor": "x",
    }
    return {**metrics, **facts, "val_acc": accuracy}
