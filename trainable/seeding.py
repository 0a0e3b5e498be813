"""Random draws that depend on nothing but what they are for."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def seed_of(*parts: object, num_bytes: int = 7) -> int:
    """A seed that is the same for the same parts in every process, on every machine.

    Args:
        parts: What the seed is for. A single text is hashed as it stands, anything else as the
            `repr` of all parts.
        num_bytes: The length of the seed; NumPy's generators take 4 bytes, PyTorch's 7.
    """
    text = parts[0] if len(parts) == 1 and isinstance(parts[0], str) else repr(parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:num_bytes])


def generator(*parts: object) -> torch.Generator:
    """A generator for one purpose, whatever was drawn before it.

    Args:
        parts: What it is for: of a trial's own draws, its `train.seed`, the purpose (such as
            `order` or `mixing`) and the epoch, whose number is all the random state of a trial.
    """
    import torch  # noqa: PLC0415 - who proposes trials needs seeds, but not PyTorch

    return torch.Generator().manual_seed(seed_of(*parts))
