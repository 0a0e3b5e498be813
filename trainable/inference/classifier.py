"""A trained model: what labels an image file, and nothing of its training."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import get_model_weights

from trainable.data.decoding.image_file import read_square
from trainable.data.seen import Seen
from trainable.data.sizes import fit, stored_side
from trainable.inference.answering import Answering, AnsweringSeveral
from trainable.inference.spec import Spec
from trainable.judging.probabilities import sureness_of
from trainable.network.cut_network import build
from trainable.network.resnet import IMAGENET
from trainable.network.weights import load_weights, why_not

_WEIGHTS, _SPEC = "model.safetensors", "classifier.json"
SEEN: Final = "seen.safetensors"
"""The file of the hashes of the images that a classifier has seen."""
_HALF: Final = 0.5


class Classifier:
    """Labels images with a trained network, in float32, on the CPU.

    Attributes:
        spec: How its network is built and its input made.
        network: From pixels in 0..255 to logits.
        heat_layer: The part of the network whose output Grad-CAM weighs.
        seen: The images that it, or its search, was trained and validated on, if that is known.
    """

    def __init__(self, spec: Spec, weights: dict[str, Tensor], seen: Seen | None = None) -> None:
        self.spec, self._weights, self.seen = spec, weights, seen
        cut = build(spec.arch, num_classes=len(spec.classes), depth=0)
        _check_weights(spec, cut.net, weights)
        cut.net.load_state_dict(weights)
        self.heat_layer = cut.heat_layer
        # Else each pass lays the weights out again, which for one small image is half its time.
        self.network: nn.Sequential = cut.whole.eval().to(memory_format=torch.channels_last)

    @classmethod
    def load(cls, folder: Path) -> Classifier:
        """Read what :meth:`save` wrote. Only tensors and JSON are read, never code.

        Raises:
            OSError, RuntimeError, SafetensorError, ValueError: It is no classifier's folder.
        """
        seen = Seen.load(folder / SEEN) if (folder / SEEN).exists() else None
        return cls(Spec.read(folder / _SPEC), load_file(folder / _WEIGHTS), seen)

    def save(self, folder: Path) -> None:
        """Write the weights and the seen images as safetensors, and the rest as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous() for k, v in self._weights.items()}, folder / _WEIGHTS)
        (folder / _SPEC).write_text(json.dumps(asdict(self.spec), indent=2))
        if self.seen is not None:
            self.seen.save(folder / SEEN)

    def calibrated(self, temperature: float, unsure_below: float) -> Classifier:
        """The same network, whose probabilities are read in another way: see :class:`Spec`."""
        found = copy.copy(self)
        found.spec = replace(self.spec, temperature=temperature, unsure_below=unsure_below)
        return found

    @property
    def uncalibrated(self) -> Classifier:
        """The same network without its calibration."""
        return self.calibrated(1.0, 0.0)

    def answer(self, probabilities: NDArray[np.float32]) -> tuple[str, float]:
        """What is said of an image, and its probability.

        Args:
            probabilities: Of shape (classes,), as :meth:`probabilities` gives them.

        Returns:
            The class and its probability. Where an image may have any number of labels, those that
            are more likely than not, as a table has them (`cat|dog`; empty where there is none),
            and the probability of the least sure of all its decisions.
        """
        classes, sure = self.spec.classes, float(self.sureness(probabilities))
        if not self.spec.several:
            return classes[int(probabilities.argmax())], sure
        names = (classes[index] for index in np.flatnonzero(probabilities > _HALF))
        return "|".join(names), sure

    def sureness(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probability of answers.

        Args:
            probabilities: Of shape (..., classes), as :meth:`probabilities` gives them.

        Returns:
            Of shape (...).
        """
        return sureness_of(probabilities, several=self.spec.several)

    def unsure(self, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether answers are unsure.

        Args:
            probabilities: Of shape (..., classes), as :meth:`probabilities` gives them.

        Returns:
            Of shape (...).
        """
        return self.sureness(probabilities) < self.spec.unsure_below

    def read(self, files: Sequence[Path | BinaryIO]) -> Tensor:
        """Decode files to uint8 of shape (N, 3, R, R), R being the stored side.

        Raises:
            ImageError: A file is no image.
        """
        squares = [read_square(file, self.spec.stored_side) for file in files]
        return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)

    @property
    def answering(self) -> nn.Module:
        """From pixels in 0..255, at the network's size, to probabilities."""
        spec = self.spec
        kind = AnsweringSeveral if spec.several else Answering
        return kind(self.network, flips=spec.flips, temperature=spec.temperature).eval()

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> NDArray[np.float32]:
        """Class probabilities.

        Args:
            images: uint8 of shape (N, 3, R, R), as :meth:`read` gives them.

        Returns:
            float32 of shape (N, classes).
        """
        pixels = fit(images, self.spec.image_size).contiguous(memory_format=torch.channels_last)
        return self.answering(pixels).numpy()


def _check_weights(spec: Spec, net: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Check that weights are of a network.

    Raises:
        ValueError: They are of another; says in one line where they differ first.
    """
    wanted = net.state_dict()
    for name in [*wanted, *weights]:
        shapes = [tuple(each[name].shape) if name in each else None for each in (wanted, weights)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"its weights are not of a {spec.arch} with {len(spec.classes)} classes: {name} "
                f"has the shape {shapes[1]} instead of {shapes[0]}"
            )


def imagenet_classifier() -> Classifier:
    """The ResNet18 that torchvision carries, with its 1,000 classes, by their names in English.

    Images are prepared as torchvision's preset for these weights does: the short side resized to
    256 pixels, the central 224 taken.

    Raises:
        ValueError: Its weights can neither be read from torchvision's cache nor be downloaded.
    """
    arch, size = "resnet18", 224
    reason = why_not("imagenet", arch)
    if reason is not None:
        raise ValueError(f"its weights are not available: {reason}")
    categories = get_model_weights(arch)[IMAGENET].meta["categories"]
    spec = Spec(arch, tuple(categories), stored_side(size), size)
    return Classifier(spec, load_weights("imagenet", arch))
