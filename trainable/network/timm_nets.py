"""timm's networks (Wightman, `pip install 'resnet-tune[timm]'`): `model.arch=timm/convnext_tiny`.

Convolutional networks whose parts run one after the other, and plain vision transformers. Their
blocks are cut into four groups, whatever their number, so that an unfreeze depth means as much of
one network as of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import pairwise, takewhile
from typing import Any, Final

import torch
from torch import Tensor, nn

from trainable.network.cut_network import CutNetwork, Family, Normalize
from trainable.network.published import HUB
from trainable.network.weights import StateDict
from trainable.registries import ARCHS, TIMM

_BLOCKS: Final = (
    ("stages",),
    ("layer1", "layer2", "layer3", "layer4"),
    ("s1", "s2", "s3", "s4"),
    ("blocks",),
)
"""The names that timm's networks have for their blocks."""
_ON_HUB: Final = "model.safetensors"
_HEADS: Final = ("head", "fc", "classifier")
_GROUPS: Final = 4
_TRIED: Final = 96
"""Side in pixels of the images on which it is tried whether a network can be cut."""


def register(name: str) -> None:
    """Register a network of timm's.

    Args:
        name: Such as `timm/convnext_tiny`.

    Raises:
        ValueError: timm is not installed, has no such network, or it cannot be cut.
    """
    if find_spec("timm") is None:
        raise ValueError("it takes timm: pip install 'resnet-tune[timm]'")
    import timm  # noqa: PLC0415 - an extra

    own = name.removeprefix(TIMM)
    if not timm.is_model(own):
        near = timm.list_models(f"*{own.partition('_')[0]}*")[:5]
        raise ValueError(f"timm has no {own}{'; it has ' + ', '.join(near) if near else ''}")
    base, _, tag = own.partition(".")
    if tag and own not in (tagged := timm.list_pretrained(f"{base}.*")):
        raise ValueError(f"timm has no weights {own}; it has {', '.join(tagged)}")
    _check_cut(own)
    ARCHS.register(name)(TimmNets)


class TimmNets(Family):
    """A network of timm's, with its parameter names."""

    def __init__(self, arch: str) -> None:
        super().__init__(arch)
        self._name = arch.removeprefix(TIMM)

    def build(self, num_classes: int) -> nn.Module:
        """A network with random weights."""
        return _create(self._name, num_classes)

    def stages(self, net: Any) -> Mapping[str, Sequence[nn.Module]]:
        """The stem, four groups of blocks, and the head."""
        names = [name for name, _ in net.named_children()]
        blocks = _blocks_of(net)
        head = next(name for name in _HEADS if name in names)
        stem = [*takewhile(lambda name: name not in blocks, names)]
        top = names[names.index(blocks[-1]) + 1 : names.index(head)]
        below, above = _modules(net, stem), _modules(net, top)
        if _is_transformer(net):
            below = [net.patch_embed, _Positions(net), net.patch_drop, net.norm_pre]
            above = [net.norm, _Pool(net), net.fc_norm, net.head_drop]
        groups = _grouped(_parts(net, blocks))
        groups[-1] = [*groups[-1], *above]
        layers = {f"layer{number}": group for number, group in enumerate(groups, start=1)}
        return {"stem": below, **layers, "head": [net.get_submodule(head)]}

    def loose(self, net: nn.Module) -> Mapping[str, str]:
        """A transformer's tokens and positions, which no module of its own holds."""
        return {name: "stem" for name, _ in net.named_parameters(recurse=False)}

    def heat_layer(self, net: nn.Module) -> nn.Module:
        """The last block; of a transformer, whose blocks have no places, the patches' embedding."""
        if _is_transformer(net):
            return net.get_submodule("patch_embed.proj")
        return _parts(net, _blocks_of(net))[-1]

    def normalization(self) -> nn.Module:
        """As the published weights were trained."""
        given = _published(self._name)
        return Normalize(tuple(given["mean"]), tuple(given["std"]))

    def weights_url(self, name: str) -> str | None:
        """The address of timm's weights on the hub, for `imagenet`: those of the name's own tag."""
        repository = _published(self._name).get("hf_hub_id")
        return f"{HUB}{repository}/{_ON_HUB}" if name == "imagenet" and repository else None

    def published(self, state: StateDict) -> StateDict:
        """What timm makes of the weights that it publishes, some of which have older names."""
        import timm  # noqa: PLC0415 - an extra

        given = {"state_dict": state}
        net = timm.create_model(self._name, pretrained=True, pretrained_cfg_overlay=given)
        return dict(net.state_dict())


class _Positions(nn.Module):
    """What a transformer does between its patches and its blocks."""

    _net: Any

    def __init__(self, net: Any) -> None:
        super().__init__()
        for name, parameter in net.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        self.pos_drop = net.pos_drop
        object.__setattr__(self, "_net", net)  # no module of this one

    def forward(self, patches: Tensor) -> Tensor:
        """Patches with their positions, and the tokens before them."""
        tokens: Tensor = self._net._pos_embed(patches)
        return tokens


class _Pool(nn.Module):
    """What a transformer makes of its tokens: one of them, or their mean."""

    _net: Any

    def __init__(self, net: Any) -> None:
        super().__init__()
        object.__setattr__(self, "_net", net)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (N, T, C) to (N, C)."""
        pooled: Tensor = self._net.pool(tokens)
        return pooled


def _create(name: str, num_classes: int) -> Any:
    import timm  # noqa: PLC0415 - an extra

    # A transformer takes images of one size alone, unless it is told so.
    any_size: dict[str, Any] = {"dynamic_img_size": True, "dynamic_img_pad": True}
    try:
        return timm.create_model(name, num_classes=num_classes, **any_size)
    except TypeError:  # a convolutional one does not know these words
        return timm.create_model(name, num_classes=num_classes)


def _published(name: str) -> dict[str, Any]:
    from timm.models import get_pretrained_cfg  # noqa: PLC0415 - an extra

    found = get_pretrained_cfg(name)
    return {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)} | (
        found.to_dict() if found else {}
    )


@cache
def _check_cut(name: str) -> None:
    """Check that a network is what its parts make one after the other.

    Raises:
        ValueError: It is not, or has other parts.
    """
    family = TimmNets(f"{TIMM}{name}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = family.build(2).eval()
        images = torch.randn(1, 3, _TRIED, _TRIED)
    try:
        CutNetwork(family, net, 0)  # which finds parameters of no stage
        parts = [module for stage in family.stages(net).values() for module in stage]
        with torch.no_grad():
            whole, cut = net(images), nn.Sequential(*parts)(images)
        same = torch.allclose(whole, cut, atol=1e-5)
    except (RuntimeError, AttributeError, StopIteration, AssertionError, TypeError):
        same = False
    if not same:
        raise ValueError(
            f"timm's {name} cannot be cut into stages: it is no network whose parts run one after "
            "the other"
        )


def _is_transformer(net: nn.Module) -> bool:
    return type(net).__name__ == "VisionTransformer"


def _blocks_of(net: nn.Module) -> tuple[str, ...]:
    names = dict(net.named_children())
    return next(each for each in _BLOCKS if all(name in names for name in each))


def _parts(net: nn.Module, blocks: Sequence[str]) -> list[nn.Module]:
    """The blocks, each a module."""
    if len(blocks) > 1:
        return _modules(net, blocks)
    return list(net.get_submodule(blocks[0]).children())


def _modules(net: nn.Module, names: Sequence[str]) -> list[nn.Module]:
    return [net.get_submodule(name) for name in names]


def _grouped(parts: Sequence[nn.Module]) -> list[list[nn.Module]]:
    """Modules in four groups of nearly the same number, the later ones the larger."""
    assert len(parts) >= _GROUPS
    edges = [len(parts) * number // _GROUPS for number in range(_GROUPS + 1)]
    return [list(parts[start:stop]) for start, stop in pairwise(edges)]
