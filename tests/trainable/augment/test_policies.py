"""A policy is one class: what is asked of it, and how one is added from outside."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from tests.helpers.commands import user_environment
from tests.helpers.devices import Pretended
from trainable.augment.device_views import DeviceViews
from trainable.augment.policies import DeviceMemory
from trainable.augment.views import Views
from trainable.config import AugmentConfig, TrialConfig
from trainable.device import Device
from trainable.finetuner import FineTuner
from trainable.registries import POLICIES
from trainable.store.arrays import ArrayStore

TinyConfig = Callable[..., TrialConfig]

INVERT = """
from trainable.augment.policies import Augmentation
from trainable.registries import POLICIES


@POLICIES.register("invert")
class Invert(Augmentation):
    needs_mirror = True

    def renditions_of(self, epoch, num_views):
        return 0, 1

    def render(self, views, rendition, which):
        plain = views.fitted(which)
        return 255 - plain if rendition else plain
"""


@pytest.fixture
def invert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a module that adds a policy which shows images or their negatives."""
    (tmp_path / "inverted.py").write_text(INVERT)
    monkeypatch.setattr(POLICIES, "_things", dict(POLICIES))
    monkeypatch.setenv("TUNE_PLUGINS", "inverted")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("inverted", None)


def epochs(config: TrialConfig, device: Device, store: ArrayStore | None) -> list[dict[str, float]]:
    tuner = FineTuner(config, device, store)
    seen = [tuner.train_epoch() for _ in range(2)]
    return [{k: v for k, v in metrics.items() if k != "epoch_seconds"} for metrics in seen]


class TestFromOutside:
    @pytest.mark.slow
    def test_a_trial_learns_the_same_with_and_without_the_store(
        self, invert: Path, tiny: TinyConfig, device: Device
    ) -> None:
        sections = {"data": {"mirror": True}, "model": {"unfreeze_depth": 1}}
        config, plain = (
            tiny(**sections, augment={"policy": policy}) for policy in ("invert", "none")
        )
        store = ArrayStore(invert / "store")

        without, cold, warm = (epochs(config, device, where) for where in (None, store, store))

        assert without == cold == warm
        assert without != epochs(plain, device, None)
        stored = {(entry.key["policy"], entry.key["rendition"]) for entry in store.entries()}
        assert stored == {("invert", 0), ("invert", 1), ("none", 0)}  # the last is of validation

    def test_a_gpu_renders_the_same_pixels(self, invert: Path, device: Device) -> None:
        images = torch.randint(256, (20, 3, 16, 16), dtype=torch.uint8)
        views = Views(images, "a", "invert", 16)
        there = DeviceViews.of(views, Pretended.of(device))

        assert torch.equal(there.render(1, 3, 9), 255 - images[3:9])
        assert torch.equal(there.render_at(1, torch.tensor([7, 2])), 255 - images[[7, 2]])

    def test_what_it_says_of_itself_is_asked_for(self, invert: Path) -> None:
        assert POLICIES["invert"]().device_memory() == DeviceMemory(2, 0, 2)
        with pytest.raises(
            ValidationError, match=r"augment\.policy=invert needs data whose mirror"
        ):
            TrialConfig.model_validate({"augment": {"policy": "invert"}})

    def test_a_new_process_knows_it_by_the_variable(self, invert: Path) -> None:
        program = "from trainable.config import AugmentConfig; AugmentConfig(policy='invert')"
        environment = user_environment()
        environment["PYTHONPATH"] += f":{invert}"

        subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_without_the_variable_it_is_unknown() -> None:
    with pytest.raises(ValidationError, match="must be one of none, flip, flip_crop, trivial"):
        AugmentConfig(policy="invert")


def test_an_unknown_policy_is_refused_with_the_nearest() -> None:
    names = "none, flip, flip_crop, trivial, rand"

    with pytest.raises(ValidationError, match=f"must be one of {names}; nearest: flip_crop"):
        AugmentConfig(policy="flipcrop")


def test_a_config_asks_policies_without_loading_pytorch() -> None:
    program = """
import sys
from trainable.config import TrialConfig
from trainable.registries import POLICIES
for name in POLICIES:
    POLICIES[name]().device_memory()
    TrialConfig.model_validate({"data": {"mirror": True}, "augment": {"policy": name}})
sys.exit("torch" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], env=user_environment(), check=True)


@pytest.mark.parametrize("name", ["none", "flip_crop", "trivial", "rand"])
def test_the_key_of_a_rendition_has_the_policys_name(name: str) -> None:
    assert POLICIES[name]().key(name, 1) == name


def test_images_as_they_are_have_one_key_whatever_the_policy() -> None:
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    flip, none = (Views(images, "a", policy, 4) for policy in ("flip", "none"))

    assert flip.key(0) == none.key(0)
    assert flip.key(1)["policy"] == "flip"


@pytest.mark.parametrize(
    ("lighter", "heavier"),
    [("none", "flip"), ("none", "flip_crop"), ("flip_crop", "trivial"), ("flip_crop", "flip")],
)
def test_a_gpu_holds_more_for_one_policy_than_for_another(lighter: str, heavier: str) -> None:
    less, more = (POLICIES[name]().device_memory() for name in (lighter, heavier))

    assert less.within(more)
    assert not more.within(less)


def test_a_mirrored_view_and_a_random_one_both_may_be_the_heaviest() -> None:
    flip, rand = (POLICIES[name]().device_memory() for name in ("flip", "rand"))

    assert not flip.within(rand)
    assert not rand.within(flip)
