"""Convolutions of small maps as one matrix product, which oneDNN is slow at in bfloat16."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_WEIGHTS_A_PIXEL: Final = 32
"""A batch is small if each of its pixels has so many pairs of channel and filter, or more: where
ResNet18's maps were as fast either way (`benchmarks/small_maps.py`)."""


class Im2colConv2d(nn.Conv2d):
    """A convolution that gathers what each pixel sees (im2col), and multiplies it by the filters.

    oneDNN's kernels for AMX are made for many pixels: at few of them they take several times what
    a matrix product does, above all for the filters' gradients. Where maps are large it convolves.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of shape (n, C, H, W) to maps of shape (n, filters, h, w)."""
        assert isinstance(self.padding, tuple)
        (rows, cols), sizes = maps.shape[-2:], zip(self.kernel_size, self.stride, strict=True)
        (down, rows_apart), (right, cols_apart) = sizes
        h = (rows + 2 * self.padding[0] - down) // rows_apart + 1
        w = (cols + 2 * self.padding[1] - right) // cols_apart + 1
        if len(maps) * h * w * _WEIGHTS_A_PIXEL > self.in_channels * self.out_channels:
            return super().forward(maps)
        beside = (0, 0, self.padding[1], self.padding[1], self.padding[0], self.padding[0])
        padded = F.pad(maps.permute(0, 2, 3, 1), beside)
        seen = [
            padded[:, i : i + rows_apart * h : rows_apart, j : j + cols_apart * w : cols_apart]
            for i in range(down)
            for j in range(right)
        ]
        filters = self.weight.permute(0, 2, 3, 1).flatten(1)
        pixels = torch.cat([each[:, :h, :w] for each in seen], dim=-1)
        return F.linear(pixels, filters, self.bias).permute(0, 3, 1, 2)


def gather_small_maps(module: nn.Module) -> None:
    """Have the convolutions of a module take small maps as a matrix product.

    They stay the same objects, with the same weights, since a network and its tail share them. Only
    PyTorch's own class is changed, of those that pad with zeros: what others do is not known.
    """
    for each in module.modules():
        plain = type(each) is nn.Conv2d and each.padding_mode == "zeros" and each.groups == 1
        if plain and not isinstance(each.padding, str) and each.dilation == (1, 1):
            each.__class__ = Im2colConv2d
