"""What Ray is given to run of what a ledger proposes."""

from __future__ import annotations

import math
from pathlib import Path

from tests.helpers.commands import DIGITS
from tests.helpers.studies import ledger_in_memory
from tune.config.loading import load_config
from tune.engine.bridge import LedgerSearcher
from tune.engine.pressure import MemoryPressure
from tune.engine.resources import TrialResources
from tune.engine.stopping import TimeBudget
from tune.strategy.schedulers import build_scheduler
from tune.study.folder import SearchFolder


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
    assert spec["trial"]["data"]["split_rule"] == 2
