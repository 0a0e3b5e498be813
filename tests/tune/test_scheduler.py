from __future__ import annotations

import pytest
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

from tests.tune.conftest import DIGITS
from tune.loading import load_config
from tune.scheduler import build_scheduler, longest_trial


def test_asha_runs_to_the_longest_trial_of_the_space() -> None:
    config = load_config(DIGITS, ["space.train.epochs=[4,12]", "scheduler.reduction_factor=2"])
    assert longest_trial(config) == 12
    assert isinstance(build_scheduler(config), ASHAScheduler)


@pytest.mark.parametrize("override", ["scheduler.name=fifo", "train.epochs=1"])
def test_fifo_where_nobody_is_to_be_stopped(override: str) -> None:
    assert isinstance(build_scheduler(load_config(DIGITS, [override])), FIFOScheduler)
