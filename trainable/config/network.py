"""The `model` section: which network, its weights, and how much of it is trained."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from trainable.config.base import Config, as_tuple, registered
from trainable.registries import ARCHS

Arch = Annotated[str, registered(ARCHS)]

BUNDLED_ARCH: Final = "resnet18"
"""The architecture of the weights that come with this package."""

WEIGHTS_NAMES = ("bundled", "imagenet", "random")
"""What `model.weights` may name beside a path."""

MAX_DEPTH = 5
"""Unfreeze depth that trains everything: head, layer4, layer3, layer2, layer1, stem."""


class ModelConfig(Config):
    """Which network, where its weights come from, and how much of it is trained."""

    arch: Arch = "resnet18"
    """A ResNet of torchvision (He et al. 2016), a wide one (Zagoruyko & Komodakis 2016),
    a ResNeXt (Xie et al. 2017), or what a plugin registers. `resnet18_3x3` (34 and 50 too) has a
    stem for images of about 32 pixels: 3x3, without pooling. `timm/NAME` is a network of timm's
    (an extra), if its parts run one after the other: convolutional ones and vision transformers."""

    weights: Annotated[
        tuple[Annotated[str, BeforeValidator(str)], ...], BeforeValidator(as_tuple)
    ] = Field(default=("bundled",), min_length=1)
    """`bundled` (comes with this package: a resnet18 trained on CIFAR-10), `imagenet`
    (torchvision's, or timm's, also those on Hugging Face's hub), `random`, or the path of a state
    dict (`.pt`, `.pth`, `.safetensors`). Of a list, the first that is available.

    `imagenet` of torchvision's ResNets is IMAGENET1K_V1, which each of them has: V2 was trained
    with label smoothing, which makes features that transfer worse (Kornblith et al.
    2021). Of timm's networks it is what their tag says, `timm/convnext_tiny.fb_in22k`, or else what
    timm takes by default, which may have been trained on other images than ImageNet's."""

    unfreeze_depth: int = Field(default=1, ge=0, le=MAX_DEPTH)
    """0 trains the head alone, 1 adds layer4, 2 layer3, 3 layer2, 4 layer1, and 5 the
    stem: everything. Of a network of timm's, the blocks are cut into four groups instead."""

    head: Literal["random", "probe"] = "random"
    """What the head starts from: `random` weights, or a linear classifier (`probe`) that is fitted
    to what the frozen network makes of at most 2,000 training images (LP-FT, Kumar et al. 2022).
    It takes weights that lack no layer."""
