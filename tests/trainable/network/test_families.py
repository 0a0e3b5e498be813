"""A network family from outside the package: cut, trained, mixed and stored as any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.plugins import use_plugin
from trainable.config import TrialConfig
from trainable.device import Device
from trainable.finetuner import FineTuner
from trainable.inference.classifier import Classifier
from trainable.network.cut_network import CutNetwork, Family, build
from trainable.network.soup import greedy_soup
from trainable.network.weights import resolve_weights
from trainable.registries import ARCHS
from trainable.store.arrays import open_store

STAGES = ("entry", "low", "middle", "high", "top", "classes")
DEPTHS = range(6)


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    use_plugin("tests.helpers.plugins.small_net", monkeypatch)


@pytest.fixture
def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (4, 3, 16, 16), generator=generator, dtype=torch.uint8)


@pytest.fixture
def tune(tiny: Callable[..., TrialConfig], device: Device) -> Callable[..., FineTuner]:
    def make(depth: int, arch: str = "small", **sections: Any) -> FineTuner:
        model = {"arch": arch, "unfreeze_depth": depth}
        return FineTuner(tiny(model=model, **sections), device)

    return make


class TestCut:
    @pytest.mark.parametrize("depth", DEPTHS)
    def test_each_depth_trains_one_stage_more(self, depth: int) -> None:
        network = build("small", num_classes=3, depth=depth)

        trained = {name for name, p in network.net.named_parameters() if p.requires_grad}
        assert network.trained == STAGES[5 - depth :]
        assert {name.split(".")[0] for name in network.tail_state()} == set(network.trained)
        assert {name.split(".")[0] for name in trained} == set(network.trained)

    @pytest.mark.parametrize("depth", DEPTHS)
    def test_prefix_and_tail_make_the_whole_on_its_own_normalization(
        self, depth: int, pixels: Tensor
    ) -> None:
        network = build("small", num_classes=3, depth=depth)
        network.tail.eval()

        expected = network.net.eval()(pixels.float() / 255 - 0.5)
        torch.testing.assert_close(network.tail(network.prefix(pixels)), expected)
        torch.testing.assert_close(network.whole(pixels), expected)


class TestTrial:
    @pytest.mark.parametrize("depth", DEPTHS)
    def test_training_changes_the_tail_alone_and_a_checkpoint_holds_it(
        self, depth: int, tune: Callable[..., FineTuner]
    ) -> None:
        tuner, other = tune(depth), tune(depth)
        before = {name: value.clone() for name, value in tuner.network.net.state_dict().items()}

        tuner.train_epoch()
        state = tuner.state_dict()
        other.load_state_dict(state)

        after = tuner.network.net.state_dict()
        assert {k for k in before if not torch.equal(before[k], after[k])} == set(state["tail"])
        assert {name.split(".")[0] for name in state["tail"]} == set(STAGES[5 - depth :])
        assert torch.equal(other.evaluate("val").logits, tuner.evaluate("val").logits)

    def test_what_its_prefix_makes_is_not_taken_for_anothers(
        self, tiny: Callable[..., TrialConfig], device: Device, tmp_path: Path
    ) -> None:
        """Of two networks with the same frozen weights, one has other functions between them."""
        store = open_store(tmp_path, 10**8)
        for arch in ("small", "smaller"):
            config = tiny(model={"arch": arch, "unfreeze_depth": 0})
            stored, alone = FineTuner(config, device, store), FineTuner(config, device)
            assert torch.equal(stored.evaluate("val").logits, alone.evaluate("val").logits)

    def test_a_stored_classifier_gives_the_same_probabilities(
        self, tune: Callable[..., FineTuner], tmp_path: Path
    ) -> None:
        tuner = tune(2)
        tuner.train_epoch()
        tuner.classifier().save(tmp_path)

        found = Classifier.load(tmp_path).probabilities(tuner.dataset.test.images)

        np.testing.assert_allclose(found, tuner.evaluate("test").probabilities, atol=1e-5)


class TestStatistics:
    def test_those_of_the_tail_are_measured_anew(self, tune: Callable[..., FineTuner]) -> None:
        tuner = tune(1, train={"batch_size": 40})
        conv, norm = tuner.network.net.top[1], tuner.network.net.top[2]
        frozen = tuner.network.net.high[2].running_mean.clone()
        norm.running_mean.fill_(100)
        seen: list[Tensor] = []
        conv.register_forward_hook(lambda _, __, out: seen.append(out.mean((0, 2, 3))))

        tuner.reestimate_statistics()

        assert len(seen) == 4
        torch.testing.assert_close(norm.running_mean, torch.stack(seen).mean(0))
        assert torch.equal(tuner.network.net.high[2].running_mean, frozen)
        assert norm.momentum == 0.3

    def test_a_head_alone_has_none(self, tune: Callable[..., FineTuner]) -> None:
        tuner = tune(0)
        before = tuner.evaluate("val").logits

        tuner.reestimate_statistics()

        assert torch.equal(tuner.evaluate("val").logits, before)

    def test_a_soup_of_two_trials_is_their_mean_with_its_own_statistics(
        self, tune: Callable[..., FineTuner]
    ) -> None:
        tuners = [tune(depth, optim={"lr": 1e-2}) for depth in (1, 2)]
        for tuner in tuners:
            tuner.train_epoch()
        mixer = tuners[1]
        members = [mixer.network.tail_of(t.network.net.state_dict()) for t in tuners]
        members = [{k: v.clone() for k, v in member.items()} for member in members]

        def score(state: dict[str, Tensor]) -> tuple[float, float]:
            mixer.network.load_tail_state(state)
            mixer.reestimate_statistics()
            return 1.0, 0.0  # any mixture is as good

        soup, ingredients = greedy_soup(members, score)

        assert ingredients == [0, 1]
        found = mixer.network.tail_state()
        mean = torch.stack([member["top.0.weight"] for member in members]).mean(0)
        torch.testing.assert_close(found["top.0.weight"], mean)
        assert not torch.equal(found["top.2.running_mean"], soup["top.2.running_mean"])


class TestWeights:
    def test_those_that_it_publishes_are_read_from_torchs_cache(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        published = build("small", num_classes=7, depth=0, seed=5).net.state_dict()
        folder = tmp_path / "hub" / "checkpoints"
        folder.mkdir(parents=True)
        torch.save(published, folder / "small-1.pth")

        network = build("small", 3, depth=0, weights=resolve_weights(["imagenet"], "small"))

        state = network.net.state_dict()
        assert {k for k in published if not torch.equal(state[k], published[k])} == {
            "classes.weight",
            "classes.bias",
        }

    def test_a_family_may_publish_none(self) -> None:
        assert resolve_weights(["imagenet", "random"], "smaller") == "random"
        with pytest.raises(
            ValueError, match=r"imagenet \(no address of any of smaller is known: give a file\)"
        ):
            resolve_weights(["imagenet"], "smaller")

    def test_those_of_another_family_are_refused(self, tmp_path: Path) -> None:
        torch.save(build("resnet18", 3, 0).net.state_dict(), tmp_path / "resnet.pt")

        with pytest.raises(ValueError, match=r"of another network: it has conv1\.weight"):
            build("small", 3, depth=1, weights=str(tmp_path / "resnet.pt"))


class TestMistakes:
    """What a family cannot be cut by is found when it is built, not in a checkpoint."""

    def family(self, stages: dict[str, list[str]]) -> Family:
        class Broken(ARCHS["small"]):  # type: ignore[misc]
            def stages(self, net: nn.Module) -> dict[str, list[nn.Module]]:
                return {k: [net.get_submodule(n) for n in v] for k, v in stages.items()}

        return Broken("broken")

    @pytest.mark.parametrize(
        ("stages", "message"),
        [
            ({name: [name] for name in STAGES[1:]}, "broken has 5 stages"),
            (
                {**{name: [name] for name in STAGES}, "middle": ["low"]},
                r"middle\..* is of no stage",
            ),
        ],
    )
    def test_stages_that_leave_something_out(
        self, stages: dict[str, list[str]], message: str
    ) -> None:
        family = self.family(stages)

        with pytest.raises(AssertionError, match=message):
            CutNetwork(family, family.build(3), depth=1)
