"""Networks, without drawing eleven million random weights for each of them."""

from __future__ import annotations

import copy
from collections import OrderedDict
from functools import cache
from typing import Final

import torch
from torch import Tensor
from torchvision.models import ResNet, resnet18

from trainable.network.resnet import ResNets

DRAWN: Final = ResNets.build
"""The network as the package builds it."""
_KEPT: Final = 6
_networks: OrderedDict[tuple[str, int, bytes], tuple[ResNet, Tensor]] = OrderedDict()


def build_once(family: ResNets, num_classes: int) -> ResNet:
    """Copy a ResNet that was drawn from the same state of the generator, if there was one.

    The weights, and what the generator draws next, are those of `ResNets.build` to the bit.
    """
    key = (family.arch, num_classes, torch.get_rng_state().numpy().tobytes())
    if key in _networks:
        _networks.move_to_end(key)
        net, after = _networks[key]
        torch.set_rng_state(after)
    else:
        net = DRAWN(family, num_classes)
        if family.arch != "resnet18":  # the others take more memory than time
            return net
        _networks[key] = net, torch.get_rng_state()
        if len(_networks) > _KEPT:
            _networks.popitem(last=False)
    return copy.deepcopy(net)


@cache
def _state(num_classes: int, seed: int) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return resnet18(num_classes=num_classes).state_dict()


def random_state(num_classes: int = 1000, seed: int = 0) -> dict[str, Tensor]:
    """The state dict of a ResNet18 with random weights, the same ones for each seed."""
    return {name: value.clone() for name, value in _state(num_classes, seed).items()}


def plain_resnet18(state: dict[str, Tensor]) -> ResNet:
    """torchvision's own ResNet18, in eval mode, with these weights."""
    with torch.device("meta"):
        net = resnet18(num_classes=len(state["fc.bias"]))
    net.load_state_dict(state, assign=True)
    return net.eval()
