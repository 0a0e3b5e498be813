"""An ONNX model in eight-bit integers: a quarter of the size, and faster on a CPU."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor

from trainable.inference.exported import INPUT

_BATCH: Final = 32
_OPERATORS: Final = ["Conv", "Gemm", "MatMul", "Add", "Relu", "MaxPool", "GlobalAveragePool"]
"""What is computed in integers. The normalization before it and the softmax after it are not."""
_LAYERS: Final = {"Conv", "Gemm", "MatMul"}


def save_int8(source: Path, target: Path, calibration: Tensor) -> None:
    """Quantize an ONNX model that :func:`trainable.inference.exported.save_onnx` wrote.

    Weights get a scale for each channel, activations a range each, measured on images (Jacob et
    al. 2018).

    Args:
        source: The model.
        target: Where to write it.
        calibration: uint8 of shape (N, 3, S, S): images like those that it will see.
    """
    with TemporaryDirectory() as folder:
        fused = Path(folder) / "fused.onnx"
        quant_pre_process(source, fused)
        quantize_static(
            fused,
            target,
            _Batches(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_OPERATORS,
            nodes_to_exclude=_after_probabilities(fused),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=_sums_overflow(),
        )


def _after_probabilities(path: Path) -> list[str]:
    """The nodes that probabilities go through, such as the mean of an image's and its mirror's.

    They come of a softmax, or of a sigmoid that no layer comes after: others are activations.
    """
    nodes = list(onnx.load(path).graph.node)  # in the order in which they are computed
    to_layers = set[str]()
    for node in reversed(nodes):
        if node.op_type in _LAYERS or to_layers.intersection(node.output):
            to_layers.update(node.input)
    given, found = set[str](), list[str]()
    for node in nodes:
        last = node.op_type == "Sigmoid" and not to_layers.intersection(node.output)
        if node.op_type == "Softmax" or last or given.intersection(node.input):
            given.update(node.output)
            found.append(node.name)
    return found


class _Batches(CalibrationDataReader):
    def __init__(self, images: Tensor) -> None:
        self._batches = iter(images.split(_BATCH))

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch.numpy()}


def _sums_overflow() -> bool:
    """Whether this CPU adds products of bytes in 16 bits: x86 without its VNNI instructions."""
    flags = torch.cpu.get_capabilities()
    return bool(flags.get("avx2")) and not (flags.get("avx512_vnni") or flags.get("avx_vnni"))
