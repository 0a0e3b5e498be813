from __future__ import annotations

import pytest

from tests.helpers.commands import DIGITS
from tune.config.loading import load_config
from tune.engine.launch import _extended
from tune.errors import ConfigError
from tune.study.search import Search


@pytest.fixture
def search() -> Search:
    config = load_config(DIGITS, ["budget.time=20s", "budget.num_samples=4"])
    return Search(name="one", config=config, data_fingerprint="f", weights_hash=None)


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        (
            {"num_samples": "40"},
            "--num-samples 40: the search has used up its 20 s; add --time-budget MORE",
        ),
        (
            {"num_samples": "40", "time": "21s"},
            "--time-budget 21s: it is counted over all runs of a search, and this one has taken "
            "22 s; give more",
        ),
        ({"num_samples": "3", "time": "1h"}, "--num-samples 3: the search has 4; give more"),
    ],
)
def test_an_extension_that_changes_nothing_is_refused_by_what_was_given(
    search: Search, budget: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        _extended(search, budget, elapsed=22)
    assert str(caught.value) == told


def test_more_trials_and_time_are_taken(search: Search) -> None:
    more = _extended(search, {"num_samples": "40", "time": "1h"}, elapsed=22).config.budget
    assert (more.num_samples, more.time) == (40, 3600)
