"""Weights from files and from the network: what is taken, and what is refused."""

from __future__ import annotations

import os
import resource
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models import ResNet18_Weights, resnet18

from tests.trainable.network.test_cut_network import ARCH, cut, write
from trainable.network import published
from trainable.network.weights import BUNDLED, load_weights, resolve_weights, save_weights


class Trap:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


class TestRefusedFiles:
    @pytest.mark.parametrize(
        "content", [[1, 2], {"a": 1}, {"model": {"a": torch.zeros(1)}}, torch.zeros(2)]
    )
    def test_what_is_no_state_dict(self, content: Any, tmp_path: Path) -> None:
        torch.save(content, tmp_path / "other.pt")

        with pytest.raises(ValueError, match=r"other\.pt is not a state dict: save model\.state"):
            cut(0, tmp_path / "other.pt")

    def test_a_pickle_with_code_which_is_not_run(self, tmp_path: Path) -> None:
        sprung = tmp_path / "sprung"
        torch.save({"conv1.weight": Trap(sprung)}, tmp_path / "trap.pt")

        with pytest.raises(ValueError, match=r"trap\.pt is refused: it is not plain tensors"):
            cut(0, tmp_path / "trap.pt")
        assert not sprung.exists()
        torch.load(tmp_path / "trap.pt", weights_only=False)
        assert sprung.exists()

    def test_a_whole_pickled_model(self, tmp_path: Path) -> None:
        torch.save(resnet18(), tmp_path / "model.pt")

        with pytest.raises(ValueError, match=r"model\.pt is refused: it is not plain tensors"):
            cut(0, tmp_path / "model.pt")

    @pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
    @pytest.mark.parametrize("kept", [0, 7, 500])
    def test_a_file_that_breaks_off(self, suffix: str, kept: int, tmp_path: Path) -> None:
        path = tmp_path / f"short{suffix}"
        state = {"conv1.weight": torch.zeros(64, 3, 7, 7)}
        write(state, path)
        path.write_bytes(path.read_bytes()[:kept])

        with pytest.raises(ValueError, match=f"short{suffix} (cannot be read|is refused)"):
            cut(0, path)

    @pytest.mark.parametrize("name", ["missing.pt", "missing.safetensors"])
    def test_a_file_that_is_not_there(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            cut(0, tmp_path / name)

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="cannot be read"):
            cut(0, tmp_path)


@pytest.fixture
def imagenet_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torchvision keeps its ResNet18; nothing is there yet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    name = ResNet18_Weights.IMAGENET1K_V1.url.rsplit("/", maxsplit=1)[-1]
    path = tmp_path / "hub" / "checkpoints" / name
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A network that never answers. Yields an event that is set once it was asked."""
    asked, closing = threading.Event(), threading.Event()

    def block(*_: Any, **__: Any) -> socket.socket:
        asked.set()
        closing.wait()
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", block)
    monkeypatch.setattr(published, "REACH_SECONDS", 0.1)
    yield asked
    closing.set()


class TestImagenet:
    def test_it_is_read_from_torchs_cache(
        self, imagenet_file: Path, unreachable: threading.Event
    ) -> None:
        state = resnet18().state_dict()
        torch.save(state, imagenet_file)

        weights = resolve_weights(["imagenet"], ARCH)
        net = cut(0, weights).net

        assert weights == "imagenet"
        assert torch.equal(net.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
        assert not unreachable.is_set()

    def test_code_in_torchs_cache_is_not_run(self, imagenet_file: Path, tmp_path: Path) -> None:
        sprung = tmp_path / "sprung"
        torch.save({"conv1.weight": Trap(sprung)}, imagenet_file)

        with pytest.raises(ValueError, match="imagenet"):
            cut(0, "imagenet")
        assert not sprung.exists()

    def test_a_cached_file_that_breaks_off_is_refused(self, imagenet_file: Path) -> None:
        torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, imagenet_file)
        imagenet_file.write_bytes(imagenet_file.read_bytes()[:500])

        with pytest.raises(ValueError, match="imagenet"):
            cut(0, "imagenet")

    def test_a_host_that_does_not_answer_is_given_up_on(
        self, imagenet_file: Path, unreachable: threading.Event
    ) -> None:
        assert resolve_weights(["imagenet", "random"], ARCH) == "random"
        assert unreachable.is_set()

    def test_a_host_that_refuses_is_out_of_reach(
        self, imagenet_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any, **__: Any) -> socket.socket:
            raise ConnectionRefusedError

        monkeypatch.setattr(socket, "create_connection", refuse)

        with pytest.raises(
            ValueError, match=r"imagenet \(.* cannot be reached, and .* is not there\)"
        ):
            resolve_weights(["imagenet"], ARCH)

    def test_a_host_that_answers_is_within_reach(
        self, imagenet_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        near, far = socket.socketpair()
        monkeypatch.setattr(socket, "create_connection", lambda *_, **__: near)

        with far:
            assert resolve_weights(["imagenet", "random"], ARCH) == "imagenet"
            assert far.recv(1) == b""


class TestResolvingWeights:
    def test_the_first_that_can_be_had_is_taken(
        self, pretrained_file: Path, tmp_path: Path
    ) -> None:
        here, missing = str(pretrained_file), str(tmp_path / "missing.pt")

        assert resolve_weights([here, "random"], ARCH) == here
        assert resolve_weights(["random", here], ARCH) == "random"
        assert resolve_weights([missing, here, "random"], ARCH) == here

    def test_why_each_cannot_be_had_is_said(
        self, tmp_path: Path, imagenet_file: Path, unreachable: threading.Event
    ) -> None:
        candidates = [str(tmp_path / "missing.pt"), "imagenet"]

        with pytest.raises(
            ValueError,
            match=r"missing\.pt \(no such file\); imagenet \(.*pytorch\.org cannot be reached",
        ):
            resolve_weights(candidates, ARCH)

    def test_the_bundled_backbone_is_there_for_its_own_architecture(self) -> None:
        assert BUNDLED.is_file()
        assert resolve_weights(["bundled"], ARCH) == "bundled"
        with pytest.raises(ValueError, match=r"bundled \(the bundled backbone is a resnet18\)"):
            resolve_weights(["bundled"], "resnet34")


def test_weights_that_do_not_fit_on_the_disk_leave_those_of_before(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_weights({"weight": torch.ones(3)}, path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_weights({"weight": torch.ones(3000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert load_weights(str(path), ARCH)["weight"].tolist() == [1, 1, 1]
    assert list(tmp_path.iterdir()) == [path]
