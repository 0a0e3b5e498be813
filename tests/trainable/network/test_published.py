"""Weights on Hugging Face's hub, from a server that answers as the hub does."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save
from torch import Tensor

from tests.helpers.commands import run_module
from trainable.network import published
from trainable.network.cut_network import build
from trainable.network.weights import resolve_weights
from trainable.registries import ARCHS

ARCH = "timm/test_convnext"
REPOSITORY = "timm/test_convnext.r160_in1k"
COMMIT = "c" * 40


class Hub:
    """A hub with one file, of which it states the SHA-256 of `stated`.

    Attributes:
        url: Where it is.
        content: What it sends.
        stated: What it says that it sends.
        asked: The requests for the file, in order.
    """

    def __init__(self, url: str, content: bytes) -> None:
        self.url, self.content, self.stated = url, content, content
        self.hashed = True
        self.asked: list[str] = []

    @property
    def etag(self) -> str:
        """The stated SHA-256, or what the hub gives for a small file instead."""
        digest = hashlib.sha256 if self.hashed else hashlib.sha1
        return digest(self.stated, usedforsecurity=False).hexdigest()


@pytest.fixture
def weights() -> dict[str, Tensor]:
    torch.manual_seed(3)
    return dict(timm.create_model("test_convnext", num_classes=1000).state_dict())


@pytest.fixture
def hub(
    weights: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    """The hub, and a cache that has nothing of it yet."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            found = self.path == f"/{REPOSITORY}/resolve/main/model.safetensors"
            if found:
                served.asked.append(self.command)
            self.send_response(200 if found else 404)
            self.send_header("ETag", f'"{served.etag}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(served.stated) if found else 0))
            self.end_headers()
            if found and self.command == "GET":
                self.wfile.write(served.content)

        do_GET = do_HEAD = handle_any

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = Hub(f"http://127.0.0.1:{server.server_port}", save(weights))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        template = f"{served.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        for name in ("http_proxy", "all_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        yield served
        server.shutdown()


def loaded() -> dict[str, Tensor]:
    return build(ARCH, num_classes=3, depth=1, weights="imagenet").net.state_dict()


def address() -> str:
    url = ARCHS[ARCH](ARCH).weights_url("imagenet")
    assert url == f"hf://{REPOSITORY}/model.safetensors"
    return url


def test_they_are_downloaded_and_kept(hub: Hub, weights: dict[str, Tensor]) -> None:
    assert not published.is_here(address())
    assert resolve_weights(["imagenet"], ARCH) == "imagenet"
    for _ in range(2):
        state = loaded()
        assert torch.equal(state["stem.0.weight"], weights["stem.0.weight"])
    assert hub.asked == ["HEAD", "HEAD", "GET"]
    assert published.is_here(address())


def test_what_is_kept_needs_no_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded()
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert resolve_weights(["imagenet"], ARCH) == "imagenet"
    assert loaded()


def test_another_content_than_the_hub_states_is_refused(hub: Hub) -> None:
    changed = bytearray(hub.content)
    changed[-1] ^= 1
    hub.content = bytes(changed)
    with pytest.raises(ValueError, match=r"imagenet cannot be read: .* is damaged, .*: delete /"):
        loaded()


def test_a_file_that_was_damaged_on_the_disk_is_refused_until_it_is_deleted(hub: Hub) -> None:
    loaded()
    (blob,) = Path(constants.HF_HUB_CACHE).glob("*/blobs/*")
    blob.write_bytes(blob.read_bytes()[:-4])
    with pytest.raises(ValueError, match=f"is damaged, its SHA-256 is another: delete {blob}"):
        loaded()
    blob.unlink()
    assert loaded()


def test_a_file_of_which_no_sha_256_is_stated_is_not_downloaded(hub: Hub) -> None:
    hub.hashed = False
    with pytest.raises(ValueError, match=rf"{address()}: no SHA-256 is stated of it: give a file"):
        loaded()
    assert "GET" not in hub.asked


def test_a_copy_of_the_cache_without_its_links_is_taken(hub: Hub, tmp_path: Path) -> None:
    loaded()
    (link,) = Path(constants.HF_HUB_CACHE).glob("*/snapshots/*/*")
    content = link.read_bytes()
    link.unlink()
    link.write_bytes(content)
    hub.asked.clear()
    assert loaded()
    assert hub.asked == []


def test_a_download_that_breaks_off_is_told_and_made_good(hub: Hub) -> None:
    whole, hub.content = hub.content, hub.content[:1000]
    with pytest.raises(ValueError, match=f"model.weights=imagenet cannot be read: {address()}: "):
        loaded()
    hub.content = whole
    for blob in Path(constants.HF_HUB_CACHE).glob("*/blobs/*"):
        blob.unlink()
    assert loaded()


def test_a_repository_that_is_not_there_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    template = f"{hub.url}/gone/{{repo_id}}/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    with pytest.raises(ValueError, match=rf"imagenet cannot be read: {address()}: .*404"):
        loaded()


def test_a_hub_out_of_reach_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    lacking = rf"{address()} in {constants.HF_HUB_CACHE} is not there"
    with pytest.raises(
        ValueError, match=rf"imagenet \(127\.0\.0\.1 cannot be reached, and {lacking}"
    ):
        resolve_weights(["imagenet"], ARCH)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=rf"HF_HUB_OFFLINE is set, and {lacking}"):
        resolve_weights(["imagenet"], ARCH)
    assert resolve_weights(["imagenet", "random"], ARCH) == "random"


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_behind_a_proxy_the_proxy_is_asked(
    variable: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://nowhere.invalid")
    monkeypatch.setenv(variable, hub.url)
    assert resolve_weights(["imagenet"], ARCH) == "imagenet"
    for elsewhere in ("127.0.0.1:9", "socks5://127.0.0.1"):
        monkeypatch.setenv(variable, elsewhere)
        assert "127.0.0.1 cannot be reached" in str(published.why_not(address()))
    monkeypatch.setenv("no_proxy", "nowhere.invalid")
    assert "nowhere.invalid cannot be reached" in str(published.why_not(address()))


def test_a_download_by_urllib_knows_no_proxy_of_all(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", hub.url)
    why = str(published.why_not("http://nowhere.invalid/resnet18-12345678.pth"))
    assert why.startswith("nowhere.invalid cannot be reached")
    monkeypatch.setenv("http_proxy", hub.url)
    assert published.why_not("http://nowhere.invalid/resnet18-12345678.pth") is None


def test_an_address_without_a_scheme_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "mirror.example")
    with pytest.raises(ValueError, match=r"mirror\.example is no address, https://HOST, and hf:"):
        resolve_weights(["imagenet"], ARCH)


@pytest.mark.slow
def test_a_trial_starts_from_them(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    words = ("train.epochs=1", "data.image_size=32", "data.val_fraction=0.5")
    model = (f"model.arch={ARCH}", "model.weights=imagenet", "model.unfreeze_depth=0")
    ran = run_module("tune.debug", "--config", "digits", *model, *words, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert hub.asked == ["HEAD", "HEAD", "GET"]
