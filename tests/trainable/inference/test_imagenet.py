"""torchvision's own ResNet18, from a cache that is filled with random weights."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.models import ResNet18_Weights

from tests.helpers.networks import plain_resnet18, random_state
from trainable.inference.classifier import Classifier, imagenet_classifier

PRESET = ResNet18_Weights.IMAGENET1K_V1


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return random_state()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch.hub's."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def stock(weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """Read from the cache. torch.hub looks at a file's hash when it downloads it, not later."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(folder))
        (folder / "hub" / "checkpoints").mkdir(parents=True)
        torch.save(weights, folder / "hub" / "checkpoints" / PRESET.url.rsplit("/", 1)[-1])
        return imagenet_classifier()


def photo(width: int, height: int) -> Image.Image:
    """A smooth picture: what resizing makes of noise depends on every detail of it."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def test_it_has_the_thousand_classes_by_name(stock: Classifier) -> None:
    classes = stock.spec.classes
    assert (len(classes), classes[0], classes[281]) == (1000, "tench", "tabby")


@pytest.mark.parametrize(
    ("size", "tolerance"),
    [((256, 256), 0), ((512, 512), 0), ((256, 300), 0), ((500, 375), 6), ((333, 500), 6)],
)
def test_images_are_prepared_as_torchvisions_preset_does(
    size: tuple[int, int],
    tolerance: int,
    stock: Classifier,
    weights: dict[str, Tensor],
    tmp_path: Path,
) -> None:
    """To the byte; but where a side does not scale to whole pixels, half a pixel beside it."""
    photo(*size).save(tmp_path / "a.png")
    images = stock.read([tmp_path / "a.png"])
    pixels = stock.network[0](images[:, :, 16:-16, 16:-16])
    with Image.open(tmp_path / "a.png") as image:
        expected = PRESET.transforms()(image)[None]
    difference = (pixels - expected).abs() * 255 * 0.225
    assert difference.max() <= tolerance + 1e-3

    with torch.no_grad():
        probabilities = plain_resnet18(weights)(expected).softmax(1)
    found = stock.probabilities(images)
    np.testing.assert_allclose(found, probabilities, atol=1e-5 if tolerance == 0 else 1e-3)


@pytest.fixture
def served(
    cache: Path, weights: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], str]]:
    """Serve the weights in place of torchvision, under a name that may hold their hash."""
    folder = tmp_path / "served"
    folder.mkdir()
    torch.save(weights, folder / "weights")
    digest = hashlib.sha256((folder / "weights").read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def serve(name: str) -> str:
            path = (folder / "weights").rename(folder / name.format(digest))
            url = f"http://127.0.0.1:{server.server_port}/{path.name}"
            monkeypatch.setattr(ResNet18_Weights, "url", property(lambda _: url))
            return path.name

        yield serve
        server.shutdown()


def test_a_download_with_the_hash_in_its_name_is_taken_and_kept(
    served: Callable[[str], str], cache: Path, weights: dict[str, Tensor]
) -> None:
    name = served("resnet18-{}.pth")
    state = imagenet_classifier().network.state_dict()
    assert any(torch.equal(value, weights["fc.weight"]) for value in state.values())
    assert [path.name for path in cache.iterdir()] == [name]


def test_a_download_with_another_hash_is_refused_and_not_kept(
    served: Callable[[str], str], cache: Path
) -> None:
    served("resnet18-f37072fd.pth")
    with pytest.raises(ValueError, match="invalid hash value"):
        imagenet_classifier()
    assert list(cache.iterdir()) == []


def test_what_cannot_be_had_is_told_in_one_line(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> socket.socket:
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(
        ValueError, match=r"weights are not available: download\.pytorch\.org cannot be"
    ):
        imagenet_classifier()
