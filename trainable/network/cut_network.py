"""What a network must state to be cut, and the cut into a frozen prefix and a trained tail.

A network family is a subclass of :class:`Family`, registered for each `model.arch` that it
builds. Everything else asks the family: training, the soup, the classifier and Grad-CAM.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from trainable.config import MAX_DEPTH
from trainable.network.weights import StateDict, load_weights
from trainable.registries import ARCHS

MEAN: Final = (0.485, 0.456, 0.406)
STD: Final = (0.229, 0.224, 0.225)


class Normalize(nn.Module):
    """Pixels in 0..255 to what ImageNet networks expect: zero mean, unit deviation.

    Args:
        mean: Of each channel, of pixels in 0..1.
        std: The same of their deviation.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD) -> None:
        super().__init__()
        shape = (1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(mean).view(shape) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(shape) * 255, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 or float pixels of shape (N, 3, S, S) to float32 of the same shape."""
        return (pixels.float() - self.mean) / self.std


class Family(ABC):
    """What a network must state to be cut, trained, mixed and explained.

    Args:
        arch: The registered name that a config has for the network.
    """

    def __init__(self, arch: str) -> None:
        self.arch = arch

    @abstractmethod
    def build(self, num_classes: int) -> nn.Module:
        """A network with random weights, drawn from PyTorch's global generator.

        Checkpoints, weight files and registered models have its parameters' names.
        """

    @abstractmethod
    def stages(self, net: nn.Module) -> Mapping[str, Sequence[nn.Module]]:
        """The modules of each stage, from the pixels to the logits, in the order they run.

        There are six stages, one for each `unfreeze_depth`; the last is the head. Every parameter
        is of one of these modules. What has no weights, such as pooling, ends the stage below it.
        """

    @abstractmethod
    def heat_layer(self, net: nn.Module) -> nn.Module:
        """The module whose output Grad-CAM weighs: the last one of shape (N, C, H, W)."""

    def loose(self, net: nn.Module) -> Mapping[str, str]:
        """The stages of parameters that are no module's of a stage, by their names: none."""
        return {}

    def normalization(self) -> nn.Module:
        """What comes before the first stage, from pixels in 0..255; ImageNet's by default."""
        return Normalize()

    def reestimate(self, tail: nn.Module, batches: Iterable[Tensor]) -> None:
        """Re-estimate the statistics that the tail normalizes by: by default, BatchNorm's.

        Args:
            tail: The trained stages.
            batches: Their inputs.
        """
        update_bn(batches, tail)

    def pretrained(self, state: StateDict) -> StateDict:
        """The entries of a state dict that are for this network: by default all."""
        return state

    def weights_url(self, name: str) -> str | None:
        """The address of the state dict that is published as `name`, such as `imagenet`.

        None, the default, says that there is none: then a name is the path of a file.
        """
        return None

    def published(self, state: StateDict) -> StateDict:
        """A whole network's state dict, of what lies at :meth:`weights_url`: by default that."""
        return state


class CutNetwork:
    """A network cut at an unfreeze depth.

    Attributes:
        net: The whole network, with the family's parameter names.
        depth: The unfreeze depth, 0 to 5.
        trained: The names of the trained stages, from the bottom.
        prefix: Frozen stages below the cut, in eval mode: pixels to activations.
        tail: Trained stages above the cut: activations to logits of shape (N, classes).
    """

    def __init__(self, family: Family, net: nn.Module, depth: int) -> None:
        self.net, self.depth, self._family = net, depth, family
        stages = family.stages(net)
        assert len(stages) == MAX_DEPTH + 1, f"{family.arch} has {len(stages)} stages"
        self.trained = tuple(stages)[MAX_DEPTH - depth :]
        below: list[nn.Module] = []
        above: list[nn.Module] = []
        for number, (stage, modules) in enumerate(stages.items()):
            first = () if number else (family.normalization(),)
            (above if stage in self.trained else below).extend([*first, *modules])
        self.prefix = nn.Sequential(*below).eval().requires_grad_(False)
        self.tail = nn.Sequential(*above)
        owners = {module: stage for stage, modules in stages.items() for module in modules}
        self._owners = {f"{p}.": owners[m] for p, m in net.named_modules() if m in owners}
        self._owners |= family.loose(net)
        lost = [name for name in net.state_dict() if self.stage_of(name) is None]
        assert not lost, f"{family.arch}: {lost[0]} is of no stage"

    @property
    def whole(self) -> nn.Sequential:
        """The network from pixels in 0..255 to logits, in one piece."""
        return nn.Sequential(*self.prefix, *self.tail)

    @property
    def heat_layer(self) -> nn.Module:
        """The module whose output Grad-CAM weighs."""
        return self._family.heat_layer(self.net)

    def stage_of(self, name: str) -> str | None:
        """The stage that an entry of a state dict belongs to: `bn1.weight` is of a ResNet's stem.

        None where the network has no such module.
        """
        return next((s for path, s in self._owners.items() if name.startswith(path)), None)

    def tail_of(self, state: Mapping[str, Tensor]) -> StateDict:
        """The entries of a whole network's state dict that belong to the tail."""
        return {k: v for k, v in state.items() if self.stage_of(k) in self.trained}

    def tail_state(self) -> StateDict:
        """Weights and statistics of the tail, under the network's names."""
        return self.tail_of(self.net.state_dict())

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

    def set_head(self, weight: Tensor, bias: Tensor) -> None:
        """Give the head the weights of a linear classifier.

        Args:
            weight: Of shape (classes, features).
            bias: Of shape (classes,).

        Raises:
            ValueError: The head is no such classifier.
        """
        head = self.tail[-1]
        if not isinstance(head, nn.Linear) or head.weight.shape != weight.shape:
            raise ValueError(f"model.head=probe: the head of {self._family.arch} is not linear")
        head.load_state_dict({"weight": weight, "bias": bias})

    def reestimate(self, batches: Iterable[Tensor]) -> None:
        """Re-estimate the statistics that the tail normalizes by, on batches of its input."""
        self._family.reestimate(self.tail, batches)

    def load_pretrained(self, state: StateDict, source: str) -> None:
        """Load all but the head. What is missing must be of a stage that is trained.

        Args:
            state: Weights of a network of this architecture, with any head.
            source: What messages call them.

        Raises:
            ValueError: They are of another network, or lack what would stay frozen.
        """
        own, head = self.net.state_dict(), self.trained[-1]
        fitting = self._family.pretrained(state)
        backbone = {k: v for k, v in fitting.items() if self.stage_of(k) != head}
        wrong = [k for k, v in backbone.items() if k not in own or own[k].shape != v.shape]
        if wrong:
            raise ValueError(f"model.weights={source} is of another network: it has {wrong[0]}")
        found = {*backbone, *self.tail_state()}
        lacking = [k for k in own if k not in found and not k.endswith("num_batches_tracked")]
        if lacking:
            raise ValueError(
                f"model.weights={source} lacks {lacking[0]}, and "
                f"model.unfreeze_depth={self.depth} leaves {self.stage_of(lacking[0])} frozen: "
                "train it, or give complete weights"
            )
        self.net.load_state_dict(backbone, strict=False)


def build(
    arch: str, num_classes: int, depth: int, weights: str = "random", seed: int = 0
) -> CutNetwork:
    """Build a network, load its weights and cut it.

    Args:
        arch: Name of a registered network, such as `resnet18`.
        num_classes: Outputs of the new head.
        depth: Unfreeze depth, 0 to 5.
        weights: `random`, `bundled`, `imagenet` or a path.
        seed: Seed of whatever starts from random weights; the head always does.

    Raises:
        ValueError: The weights are not available, or do not fit the frozen stages.
    """
    family: Family = ARCHS[arch](arch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = family.build(num_classes)
    network = CutNetwork(family, net, depth)
    if weights != "random":
        network.load_pretrained(load_weights(weights, arch), weights)
    return network
