"""Hashes that say whether a search has the same weights or classes as another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

from trainable.network.weights import first_weights_hash


def hash_weights(weights: str, archs: Sequence[str]) -> str:
    """SHA-256 (hex) of the first weights; `ARCH=HASH` for each, of several architectures."""
    hashes = {arch: first_weights_hash(weights, arch) for arch in archs}
    if len(hashes) == 1:
        return hashes[archs[0]]
    return " ".join(f"{arch}={digest}" for arch, digest in hashes.items())


def hash_classes(classes: Iterable[str]) -> str:
    """SHA-256 (hex) of the names of classes, in any order."""
    return hashlib.sha256(json.dumps(sorted(classes)).encode()).hexdigest()


def hash_searched(choices: Sequence[str], archs: Sequence[str]) -> str:
    """The hashes of several first weights among which a search chooses, as JSON by their names."""
    hashes = {each: "random" if each == "random" else hash_weights(each, archs) for each in choices}
    return json.dumps(hashes, sort_keys=True)


def hash_of(weights_hash: str, weights: str, arch: str) -> str:
    """Of a search's hashes, that of one trial's first weights.

    Args:
        weights_hash: What :func:`hash_weights` or :func:`hash_searched` gave.
        weights: The trial's `model.weights`.
        arch: The trial's `model.arch`.
    """
    if weights_hash.startswith("{"):
        weights_hash = json.loads(weights_hash).get(weights, "unknown")
    return hash_of_arch(weights_hash, arch)


def hash_of_arch(weights_hash: str, arch: str) -> str:
    """Of what :func:`hash_weights` gave, the hash of one architecture's weights."""
    hashes = dict(part.split("=") for part in weights_hash.split() if "=" in part)
    return hashes.get(arch, weights_hash)
