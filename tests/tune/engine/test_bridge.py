"""What Ray is given to run of what a ledger proposes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.tune.execution.tune_controller import TuneController
from ray.tune.schedulers import FIFOScheduler

from tests.helpers.commands import DIGITS
from tests.helpers.studies import ledger_in_memory, ledger_of
from tune.config import schema
from tune.config.loading import load_config
from tune.engine.bridge import LedgerScheduler, LedgerSearcher
from tune.engine.pressure import MemoryPressure
from tune.engine.resources import TrialResources
from tune.engine.stopping import TimeBudget
from tune.strategy.scheduling import build_scheduler
from tune.study.folder import SearchFolder
from tune.study.shared import SharedFolder
from tune.study.trial import TrialState


def test_each_trial_knows_the_images_and_weights_that_it_is_to_find(tmp_path: Path) -> None:
    config = load_config(DIGITS)
    ledger, home = ledger_in_memory(config), SearchFolder("one", tmp_path)
    resources = TrialResources(cpu=1, gpu=0, concurrent=1)
    scheduler, budget = build_scheduler(config), TimeBudget(lambda: math.inf)
    searcher = LedgerSearcher(
        ledger, scheduler, home, resources, MemoryPressure(), budget, (), "images", "a" * 64
    )

    spec = searcher.suggest("a")

    assert isinstance(spec, dict)
    assert (spec["fingerprint"], spec["weights_hash"]) == ("images", "a" * 64)
    assert spec["trial"]["data"]["split_rule"] == 3
    assert not {"owner", "search"} & set(spec)


@pytest.mark.parametrize(
    ("shared", "owner"),
    [(None, "search.json"), (SharedFolder("one", "memory://all", "sqlite://"), "owner.json")],
)
def test_where_other_nodes_may_run_it_a_trial_knows_whose_it_is(
    shared: SharedFolder | None, owner: str, tmp_path: Path
) -> None:
    config = load_config(DIGITS)
    ledger, home = ledger_in_memory(config), SearchFolder("one", tmp_path, shared)
    resources = TrialResources(cpu=1, gpu=0, concurrent=1)
    scheduler, budget = build_scheduler(config), TimeBudget(lambda: math.inf)
    searcher = LedgerSearcher(
        *(ledger, scheduler, home, resources, MemoryPressure(), budget, (), "images"),
        capacity=lambda: 1,
        search="identity",
    )
    spec = searcher.suggest("a")
    assert isinstance(spec, dict)
    assert (spec["owner"], spec["search"]) == (owner, "identity")


def test_values_that_make_no_trial_end_it_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a space may have them that is too large to be looked through."""
    monkeypatch.setattr(schema, "_LOOKED_AT", 0)
    words = ["space.data.mirror=[false, true]", "space.predict.flips=[true, false]"]
    point = "sampler.points=[{data.mirror: false, predict.flips: true}]"
    config = load_config(DIGITS, [*words, point, "augment.policy=none", "optim.lr=1e-3"])
    ledger = ledger_of(config, f"sqlite:///{tmp_path / 'optuna.db'}")
    scheduler, budget = build_scheduler(config), TimeBudget(lambda: math.inf)
    resources, home = TrialResources(cpu=1, gpu=0, concurrent=1), SearchFolder("one", tmp_path)
    searcher = LedgerSearcher(
        ledger, scheduler, home, resources, MemoryPressure(), budget, (), "images"
    )

    spec = searcher.suggest("a")

    assert isinstance(spec, dict)
    assert spec["number"] > 0
    assert ledger.trials[0].state is TrialState.FAIL
    assert ledger.trials[0].error is not None
    assert ledger.trials[0].error.startswith("NoTrialError: predict.flips needs data whose mirror")


@dataclass(frozen=True)
class Pending:
    """A trial, as Ray's controller looks at it."""

    trial_id: str
    status: str = "PENDING"
    placement_group_factory: str = "a CPU"


def pending_trials(scheduler: FIFOScheduler) -> list[str]:
    """What becomes of the workers of two trials, the first about to start, when one is set free.

    By Ray's own controller, with a list in the place of a cluster.
    """
    happened: list[str] = []
    free = ["free"]

    class Controller(TuneController):
        def __init__(self) -> None:
            self._search_alg = SimpleNamespace()
            self._scheduler_alg, self._max_pending_trials = scheduler, 1
            trials = [Pending("one"), Pending("two")]
            self._trials, self._pending_trials_list = trials, list(trials)
            self._pending_trials = set(trials)
            self._staged_trials, self._trial_to_actor = {trials[0]}, {trials[0]: "its own"}
            self._resources_to_pending_trials = {"a CPU": set(trials)}
            self._actor_manager = SimpleNamespace(num_pending_actors=1)
            self._actor_cache = SimpleNamespace(num_cached_objects=0, increase_max=lambda _: None)

        def _wrapped(self) -> object:
            return self

        def get_trials(self) -> object:
            return self._trials

        def _schedule_trial_actor(self, trial: Pending) -> None:
            happened.append(f"{trial.trial_id} gets the {free.pop() if free else 'new'} worker")

        def _maybe_reuse_cached_actor(self, trial: Pending) -> bool:
            if free:
                happened.append(f"{trial.trial_id} gives up its own for the {free.pop()} worker")
            return True

    Controller()._maybe_add_actors()
    return happened


def test_a_worker_that_is_starting_is_not_thrown_away_for_one_that_is_free() -> None:
    ledger = ledger_in_memory(load_config(DIGITS))
    scheduler = LedgerScheduler(ledger, build_scheduler(ledger.config))
    assert pending_trials(FIFOScheduler()) == ["one gives up its own for the free worker"]
    assert pending_trials(scheduler) == ["two gets the free worker"]
