"""timm's networks: cut by blocks at every depth, trained, stored and served as torchvision's."""

from __future__ import annotations

from collections.abc import Callable
from importlib import util
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import Tensor

from trainable.config import ModelConfig, TrialConfig
from trainable.device import Device
from trainable.finetuner import FineTuner
from trainable.inference.classifier import Classifier
from trainable.network import timm_nets
from trainable.network.cut_network import build
from trainable.registries import ARCHS

CONVOLUTIONS = ("convnext_atto", "mobilenetv3_small_050", "resnet10t", "regnety_002")
NAMES = (*CONVOLUTIONS, "vit_tiny_patch16_224")
MARKS = {each: pytest.mark.slow for each in NAMES if each != "mobilenetv3_small_050"}
SIDE = 64


@pytest.fixture(params=[pytest.param(each, marks=MARKS.get(each, ())) for each in NAMES])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (2, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)


def test_at_each_depth_prefix_and_tail_make_timms_own_network(name: str, pixels: Tensor) -> None:
    words = {"dynamic_img_size": True} if name.startswith("vit") else {}
    own = timm.create_model(name, num_classes=3, **words).eval()
    given = own.pretrained_cfg
    for depth in range(6):
        network = build(f"timm/{name}", num_classes=3, depth=depth)
        network.tail.eval()
        own.load_state_dict(network.net.state_dict())
        shape = (1, 3, 1, 1)
        mean, std = (torch.tensor(given[key]).view(shape) for key in ("mean", "std"))
        with torch.no_grad():
            expected = own((pixels / 255 - mean) / std)
            torch.testing.assert_close(network.tail(network.prefix(pixels)), expected)
        trained = {key for key, p in network.net.named_parameters() if p.requires_grad}
        assert trained == {
            key for key in network.tail_state() if key in dict(own.named_parameters())
        }
        assert len(network.trained) == depth + 1


@pytest.mark.slow
@pytest.mark.parametrize("depth", [0, 1, 5])
def test_a_trial_trains_its_tail_and_goes_on_from_a_checkpoint(
    depth: int, name: str, tiny: Callable[..., TrialConfig], device: Device, tmp_path: Path
) -> None:
    model = {"arch": f"timm/{name}", "unfreeze_depth": depth, "weights": "random"}
    config = tiny(model=model, data={"image_size": 32})
    tuner, other = (FineTuner(config, device) for _ in range(2))
    before = {key: value.clone() for key, value in tuner.network.net.state_dict().items()}
    tuner.train_epoch()
    state = tuner.state_dict()
    other.load_state_dict(state)
    after = tuner.network.net.state_dict()
    assert {key for key in before if not torch.equal(before[key], after[key])} <= set(state["tail"])
    assert any(not torch.equal(before[key], after[key]) for key in before)
    assert torch.equal(other.evaluate("val").logits, tuner.evaluate("val").logits)
    tuner.classifier().save(tmp_path)
    found = Classifier.load(tmp_path).probabilities(tuner.dataset.test.images)
    np.testing.assert_allclose(found, tuner.evaluate("test").probabilities, atol=1e-5)


def test_weights_from_a_file_are_loaded_but_for_the_head(name: str, tmp_path: Path) -> None:
    published = timm.create_model(name, num_classes=7).state_dict()
    torch.save(published, tmp_path / "w.pth")
    state = build(f"timm/{name}", 3, depth=0, weights=str(tmp_path / "w.pth")).net.state_dict()
    assert state.keys() == published.keys()
    others = {key for key in state if state[key].shape != published[key].shape}
    assert {key.rpartition(".")[2] for key in others} == {"weight", "bias"}
    same = [key for key in state if torch.equal(state[key], published[key])]
    assert len(same) >= len(state) - 4  # some heads normalize first


def test_a_map_of_heat_has_places(name: str, pixels: Tensor) -> None:
    network = build(f"timm/{name}", num_classes=3, depth=0)
    seen: list[Tensor] = []
    network.heat_layer.register_forward_hook(lambda _, __, out: seen.append(out))
    network.whole.eval()(pixels)
    assert seen[0].ndim == 4


@pytest.mark.parametrize(
    ("arch", "told"),
    [
        ("timm/mobilenetv3_smal", "timm has no mobilenetv3_smal; it has mobilenetv3_"),
        ("timm/test_vit.r160", "timm has no weights test_vit.r160; it has test_vit.r160_in1k"),
        ("timm/densenet121", "timm's densenet121 cannot be cut into stages"),
        pytest.param("timm/vit_base_patch16_siglip_224", "cannot be cut", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_be_taken_is_told_by_the_config(arch: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ModelConfig(arch=arch)


def test_without_timm_it_is_told_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm_nets, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"pip install 'resnet-tune\[timm\]'"):
        ModelConfig(arch="timm/convnext_nano")
    assert util.find_spec("timm") is not None
    assert "timm/convnext_nano" not in ARCHS.names()


def test_weights_are_those_of_the_hub_by_the_tag_if_there_is_one() -> None:
    for name, repository in (
        ("test_convnext", "timm/test_convnext.r160_in1k"),
        ("deit_tiny_patch16_224", "timm/deit_tiny_patch16_224.fb_in1k"),
        ("vit_small_patch16_224.dino", "timm/vit_small_patch16_224.dino"),
    ):
        family = timm_nets.TimmNets(f"timm/{name}")
        assert family.weights_url("imagenet") == f"hf://{repository}/model.safetensors"
        assert family.weights_url("bundled") is None
    assert timm_nets.TimmNets("timm/legacy_senet154").weights_url("imagenet") is None


def test_published_weights_are_taken_as_timm_takes_them() -> None:
    net = timm.create_model("test_vit", num_classes=1000)
    state = net.state_dict()
    published = {**state, "mask_token": torch.zeros(1, 1, 64)}  # as DINOv2's have
    found = timm_nets.TimmNets("timm/test_vit").published(published)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)
