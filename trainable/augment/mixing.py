"""MixUp and CutMix on what enters the tail."""

from __future__ import annotations

import torch
from torch import Tensor

from trainable.config import AugmentConfig
from trainable.losses import masses_of


class Mixer:
    """Mixes each batch with a permutation of itself.

    MixUp blends two inputs (Zhang et al. 2018; on hidden layers, Verma et al. 2019),
    CutMix pastes a box of one into the other (Yun et al. 2019). A pooled vector has no
    box: there CutMix blends, which is what the mean over a pasted map comes to.
    """

    def __init__(self, config: AugmentConfig, num_classes: int, generator: torch.Generator) -> None:
        self._alphas = {"mixup": config.mixup, "cutmix": config.cutmix}
        self._kinds = [kind for kind, alpha in self._alphas.items() if alpha > 0]
        self._num_classes, self._generator = num_classes, generator

    def __call__(
        self, inputs: Tensor, labels: Tensor, masses: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Mix a batch.

        Args:
            inputs: Of shape (n, C, H, W) or (n, C).
            labels: int64 of shape (n,), or which labels each image has, of shape (n, classes).
            masses: The same by what their images count; None where all count alike.

        Returns:
            The inputs, mixed; the targets: `labels` as they came where mixing is off, else
            probabilities of shape (n, classes); and the masses, mixed in the same way.
        """
        if not self._kinds:
            return inputs, labels, masses
        kind = self._kinds[int(self._uniform() * len(self._kinds))]
        partner = torch.randperm(len(inputs), generator=self._generator)
        if inputs.is_cuda:  # from other memory, the transfer would wait for the GPU
            partner = partner.pin_memory().to(inputs.device, non_blocking=True)
        share = self._beta(self._alphas[kind])
        if kind == "cutmix" and inputs.ndim == 4:
            inputs, share = self._paste(inputs, partner, share)
        else:
            dtype = inputs.dtype if inputs.is_floating_point() else torch.float32
            mixed = inputs.float() * share + inputs[partner].float() * (1 - share)
            inputs = mixed.to(dtype)

        def mixed_rows(rows: Tensor) -> Tensor:
            return rows * share + rows[partner] * (1 - share)

        targets = mixed_rows(masses_of(labels, self._num_classes))
        return inputs, targets, None if masses is None else mixed_rows(masses)

    def _paste(self, inputs: Tensor, partner: Tensor, share: float) -> tuple[Tensor, float]:
        height, width = inputs.shape[2:]
        tall, wide = (round(side * (1 - share) ** 0.5) for side in (height, width))
        top = int(self._uniform() * (height - tall + 1))
        left = int(self._uniform() * (width - wide + 1))
        box = (..., slice(top, top + tall), slice(left, left + wide))
        pasted = inputs.clone()
        pasted[box] = inputs[partner][box]
        return pasted, 1 - tall * wide / (height * width)

    def _uniform(self) -> float:
        return torch.rand((), generator=self._generator).item()

    def _beta(self, alpha: float) -> float:
        """Not NumPy's, whose draws are others: every metric recorded with mixing would change."""
        one, other = (
            torch._standard_gamma(torch.full((), alpha), generator=self._generator).item()
            for _ in range(2)
        )
        return one / (one + other) if one + other > 0 else float(self._uniform() < 0.5)
