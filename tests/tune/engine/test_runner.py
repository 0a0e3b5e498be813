from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.helpers.commands import DIGITS
from tests.helpers.results import add_trial
from tests.helpers.studies import search_of
from tune.config.loading import load_config
from tune.engine.runner import say_fewer, say_reached
from tune.strategy.portfolio import open_search


@pytest.mark.parametrize(("depths", "told"), [("0, 1", True), ("0, 1, 2, 3", False)])
def test_a_space_that_holds_too_few_trials_is_told_in_a_line(
    depths: str, told: bool, tmp_path: Path
) -> None:
    fixed = ["optim.lr=1e-3", "optim.weight_decay=0", "augment.policy=none"]
    words = [*fixed, f"space.model.unfreeze_depth=[{depths}]", "budget.num_samples=3"]
    ledger = open_search(search_of(load_config(DIGITS, words), f"sqlite:///{tmp_path / 'o.db'}"))
    stream = io.StringIO()
    say_fewer(ledger, Console(file=stream, width=200))
    line = "space    holds no more different trials than 2, of 3 asked for\n"
    assert stream.getvalue() == (line if told else "")


def test_a_target_that_was_reached_is_told_with_the_trials_that_it_took(tmp_path: Path) -> None:
    config = load_config(DIGITS, ["budget.target=0.85", "budget.num_samples=9"])
    ledger = open_search(search_of(config, f"sqlite:///{tmp_path / 'o.db'}"))
    add_trial(ledger, [0.9] * 6)
    stream = io.StringIO()
    say_reached(ledger, Console(file=stream))
    assert stream.getvalue() == "target   val_acc 85.00% reached by 1 of 9 trials\n"
