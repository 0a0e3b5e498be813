"""The network, where its weights come from, and the cut."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import resnet34
from torchvision.transforms.v2 import functional as F

from tests.helpers.networks import DRAWN, plain_resnet18, random_state
from trainable.network.cut_network import (
    MEAN,
    STD,
    CutNetwork,
    build,
)
from trainable.network.weights import load_weights

DEPTHS = range(6)
ARCH = "resnet18"
StateDict = dict[str, Tensor]


def cut(
    depth: int, weights: str | Path = "random", num_classes: int = 3, seed: int = 0
) -> CutNetwork:
    return build(ARCH, num_classes, depth, str(weights), seed)


def write(state: StateDict, path: Path) -> None:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)


def without(state: StateDict, stage: str) -> StateDict:
    stage_of = cut(0).stage_of
    return {name: value for name, value in state.items() if stage_of(name) != stage}


def plain_logits(network: CutNetwork, pixels: Tensor) -> Tensor:
    """What torchvision's own ResNet18 makes of the pixels, with the same weights."""
    plain = plain_resnet18(network.net.state_dict())
    return plain(F.normalize(pixels / 255, list(MEAN), list(STD)))


@pytest.fixture
def drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the weights of each network, and copy none."""
    monkeypatch.setattr("trainable.network.resnet.ResNets.build", DRAWN)


@pytest.fixture
def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (4, 3, 32, 32), generator=generator, dtype=torch.uint8)


class TestCut:
    @pytest.mark.parametrize("depth", DEPTHS)
    def test_prefix_and_tail_make_the_whole_network(
        self, depth: int, pixels: Tensor, pretrained_file: Path
    ) -> None:
        network = cut(depth, pretrained_file)
        network.tail.eval()

        with torch.no_grad():
            expected = plain_logits(network, pixels)
            torch.testing.assert_close(network.tail(network.prefix(pixels)), expected)
            torch.testing.assert_close(network.whole(pixels), expected)

    @pytest.mark.parametrize(
        ("depth", "shape"),
        [
            (0, (512,)),
            (1, (256, 2, 2)),
            (2, (128, 4, 4)),
            (3, (64, 8, 8)),
            (4, (64, 8, 8)),
            (5, (3, 32, 32)),
        ],
    )
    def test_deeper_cuts_pass_on_less_refined_activations(
        self, depth: int, shape: tuple[int, ...], pixels: Tensor
    ) -> None:
        assert cut(depth).prefix(pixels).shape[1:] == shape

    @pytest.mark.parametrize("depth", DEPTHS)
    def test_only_the_tail_is_trained(self, depth: int) -> None:
        network = cut(depth)
        trained = {name for name, p in network.net.named_parameters() if p.requires_grad}
        tail = {id(p) for p in network.tail.parameters()}

        assert trained == {name for name, p in network.net.named_parameters() if id(p) in tail}
        assert {network.stage_of(name) for name in trained} == set(network.trained)

    @pytest.mark.parametrize("depth", DEPTHS)
    def test_the_prefix_stays_in_evaluation_mode_when_the_tail_trains(self, depth: int) -> None:
        network = cut(depth)

        network.tail.train()

        assert not any(module.training for module in network.prefix.modules())
        assert all(module.training for module in network.tail.modules())

    @pytest.mark.usefixtures("drawn_anew")
    def test_a_seed_fixes_what_starts_at_random(self) -> None:
        first, again, other = (cut(1, seed=seed).net for seed in (3, 3, 4))

        assert torch.equal(first.fc.weight, again.fc.weight)
        assert torch.equal(first.conv1.weight, again.conv1.weight)
        assert not torch.equal(first.fc.weight, other.fc.weight)

    @pytest.mark.usefixtures("drawn_anew")
    def test_building_leaves_the_global_generator_alone(self) -> None:
        before = torch.get_rng_state()

        cut(1, seed=3)

        assert torch.equal(torch.get_rng_state(), before)


class TestTailState:
    @pytest.mark.parametrize("depth", DEPTHS)
    def test_it_has_torchvisions_names_of_the_trained_stages(self, depth: int) -> None:
        groups = ["fc.", "layer4.", "layer3.", "layer2.", "layer1.", ("conv1.", "bn1.")]

        expected = {
            name
            for name in random_state()
            if any(name.startswith(group) for group in groups[: depth + 1])
        }

        assert set(cut(depth).tail_state()) == expected

    def test_a_head_alone_is_two_tensors(self) -> None:
        shapes = {name: tuple(value.shape) for name, value in cut(0).tail_state().items()}

        assert shapes == {"fc.weight": (3, 512), "fc.bias": (3,)}

    @pytest.mark.parametrize("depth", DEPTHS)
    def test_loading_it_makes_the_tails_alike(self, depth: int, pixels: Tensor) -> None:
        network, other = cut(depth, seed=1), cut(depth, seed=2)
        inputs = network.prefix(pixels)

        other.load_tail_state(network.tail_state())

        assert torch.equal(network.tail(inputs), other.tail(inputs))

    @pytest.mark.parametrize(("saved", "loading"), [(1, 0), (0, 1), (4, 5)])
    def test_one_of_another_depth_is_refused(self, saved: int, loading: int) -> None:
        network = cut(loading)
        before = {name: value.clone() for name, value in network.net.state_dict().items()}

        with pytest.raises(ValueError, match=f"not of a tail of depth {loading}"):
            network.load_tail_state(cut(saved, seed=1).tail_state())
        assert all(
            torch.equal(value, before[name]) for name, value in network.net.state_dict().items()
        )

    def test_one_of_another_number_of_classes_is_refused(self) -> None:
        with pytest.raises(ValueError, match="not of a tail of depth 1"):
            cut(1).load_tail_state(cut(1, num_classes=4).tail_state())


class TestPretrainedWeights:
    @pytest.mark.parametrize("depth", [0, 5])
    def test_all_but_the_head_is_loaded(
        self, depth: int, pretrained: StateDict, pretrained_file: Path
    ) -> None:
        network = cut(depth, pretrained_file, num_classes=10, seed=1)

        state = network.net.state_dict()
        loaded = {name for name in pretrained if torch.equal(state[name], pretrained[name])}
        assert loaded == without(pretrained, "head").keys()
        assert torch.equal(state["fc.weight"], cut(depth, num_classes=10, seed=1).net.fc.weight)

    def test_a_missing_stage_that_would_stay_frozen_is_refused(
        self, pretrained: StateDict, tmp_path: Path
    ) -> None:
        torch.save(without(pretrained, "layer4"), tmp_path / "to-layer3.pt")

        with pytest.raises(
            ValueError,
            match=r"lacks layer4\.0\.conv1\.weight.*unfreeze_depth=0 leaves layer4 frozen",
        ):
            cut(0, tmp_path / "to-layer3.pt")

    def test_a_missing_stage_that_is_trained_starts_at_random(
        self, pretrained: StateDict, tmp_path: Path
    ) -> None:
        torch.save(without(pretrained, "layer4"), tmp_path / "to-layer3.pt")

        net = cut(1, tmp_path / "to-layer3.pt", seed=1).net

        assert torch.equal(net.layer3[0].conv1.weight, pretrained["layer3.0.conv1.weight"])
        assert torch.equal(net.layer4[0].conv1.weight, cut(1, seed=1).net.layer4[0].conv1.weight)

    def test_a_missing_statistic_that_would_stay_frozen_is_refused(
        self, pretrained: StateDict, tmp_path: Path
    ) -> None:
        partial = {k: v for k, v in pretrained.items() if k != "layer2.1.bn2.running_var"}
        torch.save(partial, tmp_path / "partial.pt")

        with pytest.raises(ValueError, match=r"lacks layer2\.1\.bn2\.running_var"):
            cut(2, tmp_path / "partial.pt")

    def test_batch_counters_may_be_missing(self, pretrained: StateDict, tmp_path: Path) -> None:
        partial = {k: v for k, v in pretrained.items() if not k.endswith("num_batches_tracked")}
        torch.save(partial, tmp_path / "old.pt")

        net = cut(0, tmp_path / "old.pt").net

        assert torch.equal(net.layer4[1].bn2.running_var, pretrained["layer4.1.bn2.running_var"])

    @pytest.mark.parametrize("depth", [0, 5])
    def test_another_architecture_is_refused(self, depth: int, tmp_path: Path) -> None:
        torch.save(resnet34().state_dict(), tmp_path / "resnet34.pt")

        with pytest.raises(
            ValueError, match=r"resnet34\.pt is of another network: it has layer1\.2"
        ):
            cut(depth, tmp_path / "resnet34.pt")

    def test_a_tensor_of_another_shape_is_refused(
        self, pretrained: StateDict, tmp_path: Path
    ) -> None:
        torch.save({**pretrained, "conv1.weight": torch.zeros(64, 1, 7, 7)}, tmp_path / "grey.pt")

        with pytest.raises(ValueError, match=r"another network: it has conv1\.weight"):
            cut(5, tmp_path / "grey.pt")

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    @pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
    def test_every_precision_loads_as_float32(
        self, dtype: torch.dtype, suffix: str, tmp_path: Path
    ) -> None:
        path = tmp_path / f"half{suffix}"
        state = {"a": torch.tensor([0.5, 3.0]).to(dtype), "count": torch.tensor(7)}
        write(state, path)

        loaded = load_weights(str(path), ARCH)

        assert {name: value.dtype for name, value in loaded.items()} == {
            "a": torch.float32,
            "count": torch.int64,
        }
        assert loaded["a"].tolist() == [0.5, 3.0]

    def test_safetensors_build_the_same_network(
        self, pretrained: StateDict, pretrained_file: Path, tmp_path: Path, pixels: Tensor
    ) -> None:
        save_file(pretrained, tmp_path / "weights.safetensors")

        one, other = (cut(0, path) for path in (pretrained_file, tmp_path / "weights.safetensors"))

        assert torch.equal(one.prefix(pixels), other.prefix(pixels))

    def test_the_bundled_backbone_is_complete(self) -> None:
        network = cut(0, "bundled")

        assert torch.equal(network.net.conv1.weight, load_weights("bundled", ARCH)["conv1.weight"])

    @pytest.mark.realdata
    def test_real_weights_without_a_layer4_serve_where_it_is_trained(self, real_data: Path) -> None:
        path = real_data / "weights" / "resnet18-imagenet-to-layer3.pt"

        with pytest.raises(ValueError, match=r"lacks layer4\.0\.conv1\.weight"):
            cut(0, path)
        network = cut(1, path)

        assert torch.equal(network.net.conv1.weight, load_weights(str(path), ARCH)["conv1.weight"])

    @pytest.mark.realdata
    def test_real_weights_serve_a_frozen_backbone(self, real_data: Path, pixels: Tensor) -> None:
        prefix = cut(0, real_data / "weights" / "resnet18-complete.pt").prefix

        assert prefix(pixels).isfinite().all()


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("conv1.weight", "stem"),
        ("bn1.running_mean", "stem"),
        ("layer1.0.bn1.weight", "layer1"),
        ("layer4.1.conv2.weight", "layer4"),
        ("layer4.7.conv3.weight", "layer4"),
        ("fc.bias", "head"),
        ("head.bias", None),
    ],
)
def test_a_parameter_belongs_to_a_stage(name: str, stage: str | None) -> None:
    assert cut(1).stage_of(name) == stage


def test_each_depth_trains_one_stage_more() -> None:
    stages = [cut(depth).trained for depth in DEPTHS]

    assert stages[0] == ("head",)
    assert stages[5] == ("stem", "layer1", "layer2", "layer3", "layer4", "head")
    assert all(deeper[1:] == stage for stage, deeper in pairwise(stages))


class TestSmallImages:
    """`resnet18_3x3`: a stem that leaves a small image its size."""

    def test_the_first_block_sees_every_pixel(self, pixels: Tensor) -> None:
        network = build("resnet18_3x3", num_classes=3, depth=4)
        assert network.prefix(pixels).shape == (4, 64, 32, 32)

    @pytest.mark.parametrize("depth", DEPTHS)
    def test_prefix_and_tail_make_the_whole_network(self, depth: int, pixels: Tensor) -> None:
        network = build("resnet18_3x3", num_classes=3, depth=depth)
        network.tail.eval()
        torch.testing.assert_close(network.tail(network.prefix(pixels)), network.whole(pixels))

    def test_weights_of_the_other_stem_fit_where_the_stem_is_trained(
        self, pretrained_file: Path
    ) -> None:
        network = build("resnet18_3x3", 3, depth=5, weights=str(pretrained_file))
        given = load_weights(str(pretrained_file), "resnet18_3x3")
        assert torch.equal(network.net.layer1[0].conv1.weight, given["layer1.0.conv1.weight"])
        assert network.net.conv1.weight.shape == (64, 3, 3, 3)
        with pytest.raises(ValueError, match=r"lacks conv1\.weight.* leaves stem frozen: train it"):
            build("resnet18_3x3", 3, depth=4, weights=str(pretrained_file))

    def test_its_own_weights_fit_at_every_depth(self, tmp_path: Path) -> None:
        own = build("resnet18_3x3", 3, depth=0, seed=1).net.state_dict()
        write(own, tmp_path / "own.pt")
        network = build("resnet18_3x3", 3, depth=0, weights=str(tmp_path / "own.pt"))
        assert torch.equal(network.net.conv1.weight, own["conv1.weight"])
        with pytest.raises(ValueError, match="is of another network"):
            build("resnet18", 3, depth=5, weights=str(tmp_path / "own.pt"))
