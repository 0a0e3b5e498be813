"""Where a network's first weights come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from trainable.base.errors import first_line
from trainable.config import BUNDLED_ARCH
from trainable.files.places import Place, is_file
from trainable.network import published
from trainable.registries import ARCHS

BUNDLED: Final = Path(__file__).parents[1] / "weights" / "resnet18-cifar10.safetensors"
"""The backbone this package carries; its model card lies beside it."""

StateDict = dict[str, Tensor]


def load_weights(weights: str, arch: str) -> StateDict:
    """The state dict that `bundled`, `imagenet` or a path names, as float32.

    Raises:
        ValueError: It is not available, or is no state dict. Pickled code is refused.
    """
    try:
        state = _read(weights, arch)
    except (OSError, RuntimeError, ValueError, EOFError, SafetensorError) as error:
        raise ValueError(f"model.weights={weights} cannot be read: {first_line(error)}") from error
    except Exception as error:  # torch.load lets the unpickler's own errors through
        raise ValueError(
            f"model.weights={weights} is refused: it is not plain tensors ({first_line(error)})"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"model.weights={weights} is not a state dict: save model.state_dict()")
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def save_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """Write a state dict as safetensors in half precision, which :func:`load_weights` reads.

    Args:
        state: The state dict.
        path: The file; its folder is made if there is none.

    Raises:
        OSError: It cannot be written; one that was there is as it was.
    """
    halves = {key: v.half() if v.is_floating_point() else v for key, v in state.items()}
    content = save({key: value.cpu().contiguous() for key, value in halves.items()})
    Place(path.parent).write(path.name, content)


def _read(weights: str, arch: str) -> object:
    if url := _url(weights, arch):
        return ARCHS[arch](arch).published(published.read(url))
    path = BUNDLED if weights == "bundled" else Path(weights)
    if path.suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _url(weights: str, arch: str) -> str | None:
    return ARCHS[arch](arch).weights_url(weights)


def state_hash(state: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def first_weights_hash(weights: str, arch: str) -> str:
    """:func:`state_hash` of what :func:`load_weights` gives, computed once a process.

    It is computed again where the file has changed.

    Raises:
        ValueError: It cannot be read.
    """
    try:
        stat = Path(weights).stat()
    except OSError:
        return _hashed(weights, arch)
    return _hashed(weights, arch, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=8)
def _hashed(weights: str, arch: str, *_stamp: int) -> str:
    return state_hash(load_weights(weights, arch))


def network_hash(network: nn.Module) -> str:
    """SHA-256 (hex) of what a network computes: its modules, its weights and all its constants."""
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return hashlib.sha256(f"{network!r} {state_hash(state)}".encode()).hexdigest()


def resolve_weights(candidates: Sequence[str], *archs: str) -> str:
    """The first of `candidates` that is available, decided within ten seconds.

    Args:
        candidates: Names or paths, as `model.weights` lists them.
        archs: Names of networks, for all of which it must be there.

    Raises:
        ValueError: None is available; says why, for each.
    """
    reasons = []
    for weights in candidates:
        found = (why_not(weights, arch) for arch in archs)
        reason = next((reason for reason in found if reason is not None), None)
        if reason is None:
            return weights
        reasons.append(f"{weights} ({reason})")
    raise ValueError(f"no model.weights is available: {'; '.join(reasons)}; random needs none")


def why_not(weights: str, arch: str) -> str | None:
    """Why `weights` are not available for an architecture, or None where they are."""
    if weights == "random":
        return None
    if url := _url(weights, arch):
        return published.why_not(url)
    if weights == "imagenet":
        return f"no address of any of {arch} is known: give a file"
    if weights == "bundled" and arch != BUNDLED_ARCH:
        return f"the bundled backbone is a {BUNDLED_ARCH}"
    path = BUNDLED if weights == "bundled" else Path(weights)
    return None if is_file(path) else "no such file"
