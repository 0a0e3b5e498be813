"""Hashes that say whether a search starts from the same weights as before."""

from __future__ import annotations

from collections.abc import Sequence

from trainable.network.weights import load_weights, state_hash


def hash_weights(weights: str, archs: Sequence[str]) -> str:
    """SHA-256 (hex) of the first weights; `ARCH=HASH` for each, of several architectures."""
    hashes = {arch: state_hash(load_weights(weights, arch)) for arch in archs}
    if len(hashes) == 1:
        return hashes[archs[0]]
    return " ".join(f"{arch}={digest}" for arch, digest in hashes.items())


def hash_of_arch(weights_hash: str, arch: str) -> str:
    """Of what :func:`hash_weights` gave, the hash of one architecture's weights."""
    hashes = dict(part.split("=") for part in weights_hash.split() if "=" in part)
    return hashes.get(arch, weights_hash)
