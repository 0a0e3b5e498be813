"""The ResNet, and the cut into a frozen prefix and a trained tail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torchvision.models import ResNet, get_model

from trainable.config import MAX_DEPTH
from trainable.network.weights import StateDict, load_weights

MEAN: Final = (0.485, 0.456, 0.406)
STD: Final = (0.229, 0.224, 0.225)
STAGES: Final = ("stem", "layer1", "layer2", "layer3", "layer4", "pool", "head")
"""From the bottom. The pooling has no weights and belongs to whatever is above the cut,
but for a head trained alone, whose input is the pooled vector."""


class Normalize(nn.Module):
    """Pixels in 0..255 to what ImageNet networks expect: zero mean, unit deviation."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        shape = (1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(MEAN).view(shape) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(shape) * 255, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 or float pixels of shape (N, 3, S, S) to float32 of the same shape."""
        return (pixels.float() - self.mean) / self.std


@dataclass(frozen=True, eq=False)
class CutResNet:
    """A ResNet cut at an unfreeze depth.

    Attributes:
        net: The whole network, with torchvision's parameter names.
        prefix: Frozen stages below the cut, in eval mode: pixels to activations.
        tail: Trained stages above the cut: activations to logits of shape (N, classes).
        depth: The unfreeze depth, 0 to 5.
    """

    net: ResNet
    prefix: nn.Sequential
    tail: nn.Sequential
    depth: int

    @property
    def whole(self) -> nn.Sequential:
        """The network from pixels in 0..255 to logits, in one piece."""
        return nn.Sequential(*self.prefix, *self.tail)

    def tail_state(self) -> StateDict:
        """Weights and statistics of the tail, under torchvision's names."""
        stages = trained_stages(self.depth)
        return {k: v for k, v in self.net.state_dict().items() if stage_of(k) in stages}

    def load_tail_state(self, state: Mapping[str, Tensor]) -> None:
        """Load what :meth:`tail_state` gave.

        Raises:
            ValueError: `state` is of another depth, architecture or number of classes.
        """
        expected = {k: v.shape for k, v in self.tail_state().items()}
        if expected != {k: v.shape for k, v in state.items()}:
            raise ValueError(
                f"the checkpoint is not of a tail of depth {self.depth} of this network"
            )
        self.net.load_state_dict(state, strict=False)


def stage_of(name: str) -> str:
    """The stage a torchvision parameter belongs to: `bn1.weight` is of the stem."""
    top = name.split(".", maxsplit=1)[0]
    return {"conv1": "stem", "bn1": "stem", "fc": "head"}.get(top, top)


def trained_stages(depth: int) -> tuple[str, ...]:
    """Stages that hold weights and are trained at an unfreeze depth, from the bottom."""
    with_weights = tuple(stage for stage in STAGES if stage != "pool")
    return with_weights[MAX_DEPTH - depth :]


def build(
    arch: str, num_classes: int, depth: int, weights: str = "random", seed: int = 0
) -> CutResNet:
    """Build a network, load its weights and cut it.

    Args:
        arch: Name of a torchvision ResNet.
        num_classes: Outputs of the new head.
        depth: Unfreeze depth, 0 to 5.
        weights: `random`, `bundled`, `imagenet` or a path.
        seed: Of whatever starts from random weights; the head always does.

    Raises:
        ValueError: The weights cannot be had, or do not fit the frozen stages.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net: ResNet = get_model(arch, weights=None, num_classes=num_classes)
    if weights != "random":
        _load_pretrained(net, load_weights(weights, arch), depth, weights)
    return _cut(net, depth)


def _cut(net: ResNet, depth: int) -> CutResNet:
    stages: dict[str, list[nn.Module]] = {
        "stem": [Normalize(), net.conv1, net.bn1, net.relu, net.maxpool],
        **{name: [getattr(net, name)] for name in ("layer1", "layer2", "layer3", "layer4")},
        "pool": [net.avgpool, nn.Flatten()],
        "head": [net.fc],
    }
    lowest = STAGES.index(trained_stages(depth)[0])
    below = [module for name in STAGES[:lowest] for module in stages[name]]
    above = [module for name in STAGES[lowest:] for module in stages[name]]
    prefix, tail = nn.Sequential(*below), nn.Sequential(*above)
    return CutResNet(net, prefix.eval().requires_grad_(False), tail, depth)


def _load_pretrained(net: ResNet, state: StateDict, depth: int, source: str) -> None:
    """Load all but the head. What is missing must be of a stage that is trained."""
    trained = trained_stages(depth)
    own = net.state_dict()
    backbone = {k: v for k, v in state.items() if stage_of(k) != "head"}
    wrong = [k for k, v in backbone.items() if k not in own or own[k].shape != v.shape]
    if wrong:
        raise ValueError(f"model.weights={source} is of another network: it has {wrong[0]}")
    for name in own:
        if name not in backbone and stage_of(name) not in trained and _is_weight(name):
            raise ValueError(
                f"model.weights={source} lacks {name}, and model.unfreeze_depth={depth} leaves "
                f"{stage_of(name)} frozen: train it, or give complete weights"
            )
    net.load_state_dict(backbone, strict=False)


def _is_weight(name: str) -> bool:
    return not name.endswith("num_batches_tracked")
