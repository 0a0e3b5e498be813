"""An exponential moving average of weights along one run (Polyak & Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from trainable.network.cut_network import CutNetwork
from trainable.network.soup import StateDict


class MovingAverage:
    """The average of a tail's weights, and of the statistics that it normalizes by.

    Its memory grows with the run, as `(1 + n) / (10 + n)` after `n` updates, up to the decay: so
    the first weights are soon forgotten.

    Args:
        network: The network whose tail is trained.
        decay: The share that stays at each update; 0 keeps no average.
    """

    def __init__(self, network: CutNetwork, decay: float) -> None:
        self._decay, self._updates = decay, 0
        # The tensors that training writes to, and not copies of them.
        self._live = network.tail_state() if decay else {}
        self._mean = {name: value.clone() for name, value in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        if not self._decay:
            return
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        for name, value in self._live.items():
            if value.is_floating_point():
                self._mean[name].lerp_(value, 1 - decay)
            else:
                self._mean[name].copy_(value)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have the network compute with the average until the block ends."""
        before = {name: value.clone() for name, value in self._live.items()}
        _copy(self._mean, self._live)
        try:
            yield
        finally:
            _copy(before, self._live)

    def state_dict(self) -> dict[str, object]:
        """What :meth:`load_state_dict` needs to go on from here."""
        return {"updates": self._updates, "mean": self._mean}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on from where :meth:`state_dict` was taken."""
        updates, mean = state["updates"], state["mean"]
        assert isinstance(updates, int)
        assert isinstance(mean, dict)
        self._updates = updates
        _copy(mean, self._mean)


@torch.no_grad()
def _copy(source: StateDict, target: dict[str, Tensor]) -> None:
    for name, value in target.items():
        value.copy_(source[name])
