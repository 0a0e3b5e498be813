"""The recipes are configs that either command takes, and that train."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.commands import REPOSITORY
from trainable.config import TrialConfig
from trainable.finetuner import FineTuner
from tune.config.loading import load_config

RECIPES = sorted((REPOSITORY / "configs" / "recipes").glob("*.yaml"))
SMALL = (
    *("data.source=digits", "data.mirror=true", "data.limit=200", "data.image_size=16"),
    *("model.weights=random", "train.epochs=1", "train.batch_size=32"),
)


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_trains(path: Path) -> None:
    config = load_config(path, [*SMALL, "train.first_image_size=null"])
    metrics = FineTuner(config.trial({})).train_epoch()
    assert 0 <= metrics["val_acc"] <= 1
    assert metrics["train_loss"] > 0


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_proposal_of_a_recipes_space_is_a_trial(path: Path) -> None:
    config = load_config(path, ["data.root=images"])
    for key, values in config.space.items():
        ends = values.choices if hasattr(values, "choices") else (values.low, values.high)
        for end in ends:
            assert isinstance(config.trial({key: end}), TrialConfig)
