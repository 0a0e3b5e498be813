"""A network family from outside the package, which is no ResNet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from trainable.network.cut_network import Family
from trainable.registries import ARCHS


class HalfUnit(nn.Module):
    """Pixels in 0..255 to -0.5..0.5."""

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.float() / 255 - 0.5


def separable(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """A depthwise convolution, and one across the channels (Howard et al. 2017)."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs, momentum=0.3),
        nn.SiLU(),
    )


@ARCHS.register("small")
class SmallNets(Family):
    """Four separable convolutions between a first one and the head."""

    def build(self, num_classes: int) -> nn.Sequential:
        return nn.Sequential(
            OrderedDict(
                entry=nn.Conv2d(3, 8, 3, 2, padding=1),
                low=separable(8, 12, 1),
                middle=separable(12, 16, 2),
                high=separable(16, 20, 1),
                top=separable(20, 24, 2),
                pool=nn.AdaptiveAvgPool2d(1),
                flat=nn.Flatten(),
                classes=nn.Linear(24, num_classes),
            )
        )

    def stages(self, net: nn.Sequential) -> Mapping[str, Sequence[nn.Module]]:
        below = {name: [net.get_submodule(name)] for name in ("entry", "low", "middle", "high")}
        return {**below, "top": [net.top, net.pool, net.flat], "classes": [net.classes]}

    def heat_layer(self, net: nn.Sequential) -> nn.Module:
        return net.get_submodule("top")

    def normalization(self) -> nn.Module:
        return HalfUnit()

    def weights_url(self, name: str) -> str | None:
        return "https://example.invalid/small-1.pth" if name == "imagenet" else None


@ARCHS.register("smaller")
class SmallerNets(SmallNets):
    """The same with other functions between the same weights, which are published nowhere."""

    def build(self, num_classes: int) -> nn.Sequential:
        net = super().build(num_classes)
        for name in ("low", "middle", "high", "top"):
            net.get_submodule(name)[3] = nn.Tanh()
        return net

    def weights_url(self, name: str) -> str | None:
        return None
