"""torchvision's own ResNet18, as it was trained on ImageNet."""

from __future__ import annotations

from typing import Final

from torchvision.models import get_model_weights

from trainable.config import Arch
from trainable.data.sizes import stored_side
from trainable.inference.classifier import Classifier, Spec
from trainable.network.weights import IMAGENET, load_weights, why_not

_ARCH: Final[Arch] = "resnet18"
_SIZE: Final = 224


def imagenet_classifier() -> Classifier:
    """The network with its 1,000 classes, by their names in English.

    Images are prepared as torchvision's preset for these weights does: the short side resized to
    256 pixels, the central 224 taken.

    Raises:
        ValueError: Its weights can neither be read from torchvision's cache nor be downloaded.
    """
    reason = why_not("imagenet", _ARCH)
    if reason is not None:
        raise ValueError(f"its weights cannot be had: {reason}")
    categories = get_model_weights(_ARCH)[IMAGENET].meta["categories"]
    spec = Spec(_ARCH, tuple(categories), stored_side(_SIZE), _SIZE)
    return Classifier(spec, load_weights("imagenet", _ARCH))
