"""A classifier as one file that other programs run: `.onnx`, or PyTorch's own `.pt2`.

Its input, `pixels`, is uint8 of shape (N, 3, S, S) in RGB, S being the classifier's `image_size`
and N any number. Its output, `probabilities`, is float32 of shape (N, classes). What else it takes
to use it is in the file's metadata: `classes` (a JSON list, in the order of the outputs), `arch`,
`image_size`, `stored_side`, to which a photograph's short side is resized before the central
square of it is taken, and `unsure_below`: an answer whose greatest probability is lower is unsure.
Of `several` labels it is so if any of them is less probable than that, and so is its lack.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.export import Dim, ExportedProgram

from trainable.inference.classifier import Classifier
from trainable.inference.spec import Spec

INPUT: Final = "pixels"
OUTPUT: Final = "probabilities"

Runner = Callable[[Tensor], NDArray[np.float32]]
"""From pixels to probabilities, by the runtime of a file's format."""


def metadata(spec: Spec) -> dict[str, str]:
    """What a file says of itself, as text by name.

    Not what is in its graph: that it shows mirror images, and its temperature.
    """
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in asdict(spec).items()
        if name not in {"flips", "temperature"}
    }


def program_of(classifier: Classifier) -> ExportedProgram:
    """The network with its normalization and its softmax as one graph, of any batch size."""
    network = copy.deepcopy(classifier.answering).eval()
    network.to(memory_format=torch.contiguous_format)  # which files of programs expect
    side = classifier.spec.image_size
    example = torch.zeros(2, 3, side, side, dtype=torch.uint8)
    with torch.no_grad():
        return torch.export.export(network, (example,), dynamic_shapes=({0: Dim("batch")},))


def save_pt2(classifier: Classifier, path: Path) -> None:
    """Write a classifier as a program of `torch.export`."""
    torch.export.save(program_of(classifier), path, extra_files=metadata(classifier.spec))


def save_onnx(classifier: Classifier, path: Path) -> None:
    """Write a classifier as an ONNX model, weights and all in one file."""
    exported = torch.onnx.export(
        program_of(classifier), input_names=[INPUT], output_names=[OUTPUT], verbose=False
    )
    assert exported is not None
    exported.model.metadata_props.update(metadata(classifier.spec))
    exported.save(path, external_data=False)


def open_pt2(path: Path) -> Runner:
    """Run a file that :func:`save_pt2` wrote."""
    module = torch.export.load(path).module()

    @torch.no_grad()
    def run(pixels: Tensor) -> NDArray[np.float32]:
        return module(pixels).numpy()

    return run


def open_onnx(path: Path) -> Runner:
    """Run an ONNX model by ONNX Runtime, with as many threads as PyTorch takes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(pixels: Tensor) -> NDArray[np.float32]:
        return session.run([OUTPUT], {INPUT: pixels.numpy()})[0]

    return run
