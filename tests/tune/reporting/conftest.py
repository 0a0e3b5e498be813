"""The images that reports are about."""

from __future__ import annotations

import pytest

from tests.helpers.commands import DIGITS
from trainable.data.datasets import Dataset, load_dataset
from tune.config.loading import load_config


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    return load_dataset(load_config(DIGITS, ["data.image_size=16", "data.split_rule=1"]).data)
