"""torchvision's ResNets, the first network family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from torch import nn
from torchvision.models import ResNet, get_model, get_model_weights

from trainable.network.cut_network import Family
from trainable.registries import ARCHS

IMAGENET: Final = "IMAGENET1K_V1"
"""The name that torchvision has for the weights that `imagenet` names here."""


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


for _arch in ARCHS.shipped:
    ARCHS.register(_arch)(ResNets)
