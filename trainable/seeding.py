"""Random draws that depend on nothing but what they are for."""

from __future__ import annotations

import hashlib

import torch


def generator(seed: int, purpose: str, epoch: int) -> torch.Generator:
    """A generator for one purpose in one epoch of a trial, whatever was drawn before it.

    Args:
        seed: `train.seed` of the trial.
        purpose: Such as `order` or `mixing`.
        epoch: Its number is all the random state that a trial has.
    """
    digest = hashlib.sha256(repr((seed, purpose, epoch)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7]))
