"""The loss that training lowers: cross-entropy, or its weighted and focal kinds.

Only training is weighted: `val_loss` is the plain cross-entropy of the images as they are.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

BETA: Final = 0.999
"""Cui et al. (2019) call it beta: from some thousand images of a class on, more add little."""
_LEAST: Final = 1e-6
"""The least `1 - p` of a focal loss: below it, a power of less than 1 would be infinitely steep."""


def image_weights(
    labels: Tensor,
    kind: Literal["none", "balanced", "effective"],
    own: NDArray[np.float64] | None = None,
) -> Tensor | None:
    """How much each training image counts.

    Only their ratios matter: the loss of a batch is a mean by them. Their own mean is 1.

    Args:
        labels: Classes of the training images, int64 of shape (N,).
        kind: How classes are weighted, as `train.class_weights` says.
        own: The weights that the images bring along, of shape (N,), at least 0; none is 1.

    Returns:
        float32 of shape (N,); None where all count alike.
    """
    has_own = own is not None and len(own) > 0
    if kind == "none" and not has_own:
        return None
    weights = torch.ones(len(labels), dtype=torch.float64)
    if kind != "none":
        images = torch.bincount(labels).double()
        many = images if kind == "balanced" else (1 - BETA**images) / (1 - BETA)
        weights = 1 / many[labels]
    if own is not None and has_own:
        weights = weights * torch.from_numpy(own)
    return (weights / weights.mean()).float()


def training_loss(logits: Tensor, masses: Tensor, smoothing: float, gamma: float) -> Tensor:
    """The sum of the losses of some images, to be divided by the mass of their whole batch.

    A target is smoothed as far as its image counts. With the focal loss, each class's share of the
    smoothed target counts by how wrong the answer is about that class.

    Args:
        logits: Of shape (n, classes).
        masses: The targets: what each class counts in each image, of shape (n, classes). A row
            sums to 1 where the image has no weight.
        smoothing: Share of each target that is spread evenly over the classes.
        gamma: Exponent of the focal loss (Lin et al. 2017); 0 is cross-entropy.

    Returns:
        A scalar.
    """
    spread = masses.sum(1, keepdim=True) / logits.shape[1]
    wanted = (1 - smoothing) * masses + smoothing * spread
    logs = logits.log_softmax(1)
    if gamma:
        wanted = wanted * (-torch.expm1(logs)).clamp(min=_LEAST) ** gamma
    return -(wanted * logs).sum()


def several_loss(logits: Tensor, masses: Tensor, smoothing: float, gamma: float) -> Tensor:
    """The same where an image may have any number of labels: each is learned on its own.

    Args:
        logits: Of shape (n, classes).
        masses: As :func:`several_masses` makes them, of shape (n, 2 * classes).
        smoothing: Share of each target that is spread evenly over having a label and not.
        gamma: Exponent of the focal loss (Lin et al. 2017); 0 is cross-entropy.

    Returns:
        A scalar.
    """
    having, lacking = masses.chunk(2, dim=1)
    spread = smoothing * (having + lacking) / 2
    total = torch.zeros((), device=logits.device)
    for mass, odds in ((having, logits), (lacking, -logits)):
        wanted = (1 - smoothing) * mass + spread
        if gamma:
            wanted = wanted * torch.sigmoid(-odds).clamp(min=_LEAST) ** gamma
        total = total - (wanted * F.logsigmoid(odds)).sum()
    return total


def several_masses(
    targets: NDArray[np.uint8],
    kind: Literal["none", "balanced", "effective"],
    own: NDArray[np.float64] | None = None,
) -> Tensor:
    """What each image counts for each label: where it has it, then where it has not.

    Args:
        targets: Which labels each image has, of shape (N, classes).
        kind: How having a label is weighed against not having it.
        own: The weights that the images bring along, of shape (N,); none is 1.

    Returns:
        float32 of shape (N, 2 * classes), of which one of each pair is 0.
    """
    has = torch.from_numpy(targets).double()
    both = torch.stack([has, 1 - has])  # of shape (2, N, classes)
    if kind != "none":
        images = both.sum(1, keepdim=True)
        many = images if kind == "balanced" else (1 - BETA**images) / (1 - BETA)
        both = both / many.clamp(min=1e-12)
    if own is not None and len(own):
        both = both * torch.from_numpy(own)[:, None]
    both = both / both.sum(0).mean()
    return torch.cat([both[0], both[1]], dim=1).float()


def masses_of(targets: Tensor, classes: int, weights: Tensor | None = None) -> Tensor:
    """What each class counts in each target, of shape (n, classes).

    Args:
        targets: Classes, int64 of shape (n,), or their shares, of shape (n, classes).
        classes: The number of classes.
        weights: What each image counts, of shape (n,); None is 1.
    """
    shares = F.one_hot(targets, classes).float() if targets.ndim == 1 else targets
    return shares if weights is None else shares * weights[:, None]
