"""Gradients of convolutions that see one pixel, which oneDNN leaves undone in bfloat16."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from trainable.network.cut_network import CutNetwork


def mend_gradients(network: CutNetwork, side: int) -> None:
    """Have weights that meet no pixel get no gradient, in a network on a CPU.

    Of a padded 3x3 convolution over one pixel only the middle weights count. With strides oneDNN
    3.13 leaves the gradients of the others in bfloat16 as the memory was, with AMX: at times NaN.

    Args:
        network: The network; its tail is trained.
        side: Side of the images, in pixels.
    """
    found = list[nn.Conv2d]()
    convolutions = [each for each in network.tail.modules() if isinstance(each, nn.Conv2d)]
    hooks = [each.register_forward_hook(partial(_note, found)) for each in convolutions]
    was_training = network.tail.training
    network.tail.eval()
    with torch.inference_mode():
        network.whole(torch.zeros(1, 3, side, side))
    network.tail.train(was_training)
    for hook in hooks:
        hook.remove()
    for convolution in found:
        convolution.weight.register_hook(partial(_of_those, _that_meet_a_pixel(convolution)))


def _note(found: list[nn.Conv2d], module: Any, inputs: tuple[Tensor, ...], _: Tensor) -> None:
    sees_one = inputs[0].shape[-2:] == (1, 1)
    if sees_one and max(module.kernel_size) > 1 and max(module.stride) > 1:
        found.append(module)


def _that_meet_a_pixel(convolution: nn.Conv2d) -> Tensor:
    """Which weights meet the one pixel, however the convolution pads it: bool of shape (k, k)."""
    pixel = torch.ones(1, convolution.in_channels, 1, 1)
    (gradient,) = torch.autograd.grad(convolution(pixel).sum(), convolution.weight)
    return (gradient != 0).flatten(0, 1).any(0)


def _of_those(weights: Tensor, gradient: Tensor) -> Tensor:
    return torch.where(weights, gradient, 0.0)
