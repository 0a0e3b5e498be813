"""From pixels to probabilities: what a classifier answers with, and exports."""

from __future__ import annotations

from typing import Final

import numpy as np
from torch import Tensor, nn

_TINY: Final = float(np.finfo(np.float32).tiny)


class Answering(nn.Module):
    """A network with its softmax, and with the mean over an image and its mirror image.

    Args:
        network: From pixels to logits.
        flips: Whether there is such a mean.
        temperature: What the logits are divided by. Where there is a mean, that of its
            probabilities: so none changes the order of the classes.
    """

    def __init__(self, network: nn.Module, *, flips: bool, temperature: float = 1.0) -> None:
        super().__init__()
        self.network, self.flips, self.temperature = network, flips, temperature

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels of shape (N, 3, S, S) to probabilities of shape (N, classes)."""
        if not self.flips:
            return self._softmax(self.network(pixels))
        answer: Tensor = self.network(pixels).softmax(1)
        answer = (answer + self.network(pixels.flip(3)).softmax(1)) / 2
        if self.temperature == 1:
            return answer
        return self._softmax(answer.clamp_min(_TINY).log())

    def _softmax(self, logits: Tensor) -> Tensor:
        # Not divided by 1: a model that is not calibrated answers to the last bit as it did.
        return (logits if self.temperature == 1 else logits / self.temperature).softmax(1)


class AnsweringSeveral(Answering):
    """The same with a probability for each label, whatever the others are."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels of shape (N, 3, S, S) to probabilities of shape (N, classes)."""
        logits: Tensor = self.network(pixels)
        if not self.flips:
            return self._sigmoid(logits)
        mirrored: Tensor = self.network(pixels.flip(3))
        answer = (logits.sigmoid() + mirrored.sigmoid()) / 2
        if self.temperature == 1:
            return answer
        lacking = ((-logits).sigmoid() + (-mirrored).sigmoid()) / 2
        return self._sigmoid(answer.clamp_min(_TINY).log() - lacking.clamp_min(_TINY).log())

    def _sigmoid(self, logits: Tensor) -> Tensor:
        return (logits if self.temperature == 1 else logits / self.temperature).sigmoid()
