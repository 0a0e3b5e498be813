"""What Ray is given to run of what a ledger proposes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.helpers.commands import DIGITS
from tests.helpers.studies import ledger_in_memory, ledger_of
from tune.config import schema
from tune.config.loading import load_config
from tune.engine.bridge import LedgerSearcher
from tune.engine.pressure import MemoryPressure
from tune.engine.resources import TrialResources
from tune.engine.stopping import TimeBudget
from tune.strategy.scheduling import build_scheduler
from tune.study.folder import SearchFolder
from tune.study.trial import TrialState


def test_each_trial_knows_the_images_that_it_is_to_find(tmp_path: Path) -> None:
    config = load_config(DIGITS)
    ledger, home = ledger_in_memory(config), SearchFolder("one", tmp_path)
    resources = TrialResources(cpu=1, gpu=0, concurrent=1)
    scheduler, budget = build_scheduler(config), TimeBudget(lambda: math.inf)
    searcher = LedgerSearcher(
        ledger, scheduler, home, resources, MemoryPressure(), budget, (), "images"
    )

    spec = searcher.suggest("a")

    assert isinstance(spec, dict)
    assert spec["fingerprint"] == "images"
    assert spec["trial"]["data"]["split_rule"] == 3


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
