"""A finished model: what it takes to label an image file, and nothing of training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trainable.config import Arch
from trainable.data.decoding import read_square
from trainable.data.sizes import fit
from trainable.network.cut_network import build

_WEIGHTS, _SPEC = "model.safetensors", "classifier.json"


@dataclass(frozen=True)
class Spec:
    """How a classifier's network is built and its input made.

    Attributes:
        arch: Name of a torchvision ResNet.
        classes: Names, in the order of the outputs.
        stored_side: Side files are decoded to, in pixels, as the training data was.
        image_size: Side the network sees, in pixels.
    """

    arch: Arch
    classes: tuple[str, ...]
    stored_side: int
    image_size: int


class Classifier:
    """Labels images with a trained network, in float32, on the CPU."""

    def __init__(self, spec: Spec, weights: dict[str, Tensor]) -> None:
        self.spec, self._weights = spec, weights
        cut = build(spec.arch, num_classes=len(spec.classes), depth=0)
        cut.net.load_state_dict(weights)
        # Else each pass lays the weights out anew, which for one small image is half its time.
        self.network: nn.Sequential = cut.whole.eval().to(memory_format=torch.channels_last)

    @classmethod
    def load(cls, folder: Path) -> Classifier:
        """Read what :meth:`save` wrote. Only tensors and JSON are read, never code.

        Raises:
            OSError, RuntimeError, SafetensorError, ValueError: It is no classifier's folder.
        """
        spec = TypeAdapter(Spec).validate_json((folder / _SPEC).read_bytes())
        return cls(spec, load_file(folder / _WEIGHTS))

    def save(self, folder: Path) -> None:
        """Write the weights as safetensors and the rest as JSON into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous() for k, v in self._weights.items()}, folder / _WEIGHTS)
        (folder / _SPEC).write_text(json.dumps(asdict(self.spec), indent=2))

    def read(self, files: Sequence[Path | BinaryIO]) -> Tensor:
        """Decode files to uint8 of shape (N, 3, R, R), R being the stored side.

        Raises:
            ImageError: A file is no image.
        """
        squares = [read_square(file, self.spec.stored_side) for file in files]
        return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> NDArray[np.float32]:
        """Class probabilities.

        Args:
            images: uint8 of shape (N, 3, R, R), as :meth:`read` gives them.

        Returns:
            float32 of shape (N, classes).
        """
        pixels = fit(images, self.spec.image_size).contiguous(memory_format=torch.channels_last)
        return self.network(pixels).softmax(1).numpy()
