"""torchvision's ResNets, the first network family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import nn
from torchvision.models import ResNet, get_model, get_model_weights

from trainable.network.cut_network import Family
from trainable.network.weights import StateDict
from trainable.registries import ARCHS, RESNETS

IMAGENET: Final = "IMAGENET1K_V1"
"""The name that torchvision has for the weights that `imagenet` names here."""


_SMALL: Final = "_3x3"
_FIRST: Final = "conv1.weight"


class ResNets(Family):
    """ResNets, with torchvision's parameter names.

    He et al. 2016; the wide ones Zagoruyko & Komodakis 2016, the ResNeXts Xie et al. 2017.
    """

    def build(self, num_classes: int) -> ResNet:
        """A ResNet with random weights."""
        return get_model(self.arch, weights=None, num_classes=num_classes)

    def stages(self, net: ResNet) -> Mapping[str, Sequence[nn.Module]]:
        """The stem, four stages of blocks, and the head."""
        return {
            "stem": [net.conv1, net.bn1, net.relu, net.maxpool],
            "layer1": [net.layer1],
            "layer2": [net.layer2],
            "layer3": [net.layer3],
            "layer4": [net.layer4, net.avgpool, nn.Flatten()],
            "head": [net.fc],
        }

    def heat_layer(self, net: ResNet) -> nn.Module:
        """The last stage of blocks."""
        return net.layer4

    def weights_url(self, name: str) -> str | None:
        """The address of torchvision's weights, for `imagenet`."""
        return get_model_weights(self.arch)[IMAGENET].url if name == "imagenet" else None


class SmallImageResNets(ResNets):
    """The same with a stem for images of about 32 pixels: 3x3 without pooling.

    ImageNet's stem leaves 8 x 8 of them before the first block has seen any (He et al. 2016, 4.2).
    Other weights of the ResNet fit from the first block on; the stem is trained then.
    """

    def __init__(self, arch: str) -> None:
        super().__init__(arch.removesuffix(_SMALL))

    def build(self, num_classes: int) -> ResNet:
        """A ResNet with random weights."""
        net = super().build(num_classes)
        net.conv1 = nn.Conv2d(3, net.conv1.out_channels, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
        net.maxpool = nn.Identity()
        return net

    def pretrained(self, state: StateDict) -> StateDict:
        """All but the first convolution of another stem."""
        own = state.get(_FIRST, torch.empty(0)).shape[-1:] == (3,)
        return state if own else {k: v for k, v in state.items() if k != _FIRST}


for _arch in RESNETS:
    ARCHS.register(_arch)(SmallImageResNets if _arch.endswith(_SMALL) else ResNets)
