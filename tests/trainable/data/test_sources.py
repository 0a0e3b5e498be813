"""Data sources: those of the package are asked in passing, and one more is one function."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from tests.helpers.plugins import use_plugin
from trainable.config import DataConfig, TrialConfig
from trainable.data.datasets import is_local, load_dataset
from trainable.device import Device
from trainable.finetuner import FineTuner

STRIPES = "tests.helpers.plugins.stripes"


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch, no_cached_data: None) -> None:
    use_plugin(STRIPES, monkeypatch)


@pytest.mark.usefixtures("plugin")
class TestFromOutside:
    def test_it_is_split_as_any_other(self) -> None:
        dataset = load_dataset(DataConfig(source="stripes", limit=90, split_rule=1))

        assert [len(dataset.split(name)) for name in ("train", "val", "test")] == [72, 18, 24]
        assert dataset.classes == ("stand", "lie")
        lies = dataset.val.images[:, 0, 0].float().mean(1) > 150
        assert torch.equal(dataset.val.labels, lies.long())
        assert dataset.val.labels.dtype == torch.int64

    def test_a_trial_trains_on_it(self, tiny: Callable[..., TrialConfig], device: Device) -> None:
        config = tiny(data={"source": "stripes"}, model={"unfreeze_depth": 1})

        tuner = FineTuner(config, device)
        first, second = tuner.train_epoch(), tuner.train_epoch()

        assert second["train_loss"] < first["train_loss"]

    def test_where_it_states_nothing_it_is_local_and_keeps_its_labels_in_the_mirror(self) -> None:
        config = DataConfig(source="stripes")

        assert config.mirrors
        assert is_local(config)

    def test_it_states_what_is_not_as_usual(self, tmp_path: Path) -> None:
        with pytest.raises(
            ValidationError, match=r"data\.root is required with data\.source=album"
        ):
            DataConfig(source="album")
        assert not DataConfig(source="album", root=tmp_path).mirrors
        assert DataConfig(source="album", root=tmp_path, mirror=True).mirrors
        assert is_local(DataConfig(source="album", root=tmp_path))
        assert not is_local(DataConfig(source="album", root=tmp_path / "nowhere"))

    def test_a_name_that_is_almost_one_gets_it_as_a_hint(self) -> None:
        with pytest.raises(ValidationError, match=r"digits, .*stripes.*; nearest: stripes"):
            DataConfig(source="stripe")


def test_without_the_plugin_its_names_are_unknown() -> None:
    with pytest.raises(ValidationError, match=r"must be one of digits, [\w, ]+ \["):
        DataConfig(source="stripes")


def python(code: str, **variables: str) -> None:
    environment = {**os.environ, **variables}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_asking_the_packages_own_loads_no_library() -> None:
    python("""
import sys
from trainable.config import DataConfig
assert DataConfig(source="image_folder", root="photos").mirrors
assert not {"numpy", "sklearn", "torch"} & sys.modules.keys()
""")


@pytest.mark.parametrize("first", ["trainable.config", "trainable.registries", STRIPES])
def test_a_plugin_may_import_the_config_that_asks_for_it(first: str) -> None:
    code = f"import {first}; from trainable.config import DataConfig; DataConfig(source='stripes')"

    python(code, TUNE_PLUGINS=STRIPES)
