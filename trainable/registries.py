"""What a config may name, registered where it is written: policies, sources, networks, metrics.

A config is checked before PyTorch is loaded, so the names that come with this package are known
here. Any other name is looked for in the room that registers its kind, and in the modules that
`TUNE_PLUGINS` lists: one file adds one, in this package or outside.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final, Generic, TypeVar

TIMM: Final = "timm/"
"""How the names of timm's networks begin."""

Thing = TypeVar("Thing")
Registered = TypeVar("Registered")

PLUGINS: Final = "TUNE_PLUGINS"
"""Variable that lists modules, separated by commas, which register more of anything. Workers on
this machine inherit it."""


class Registry(Mapping[str, Thing], Generic[Thing]):
    """Things by the names that a config has for them.

    Args:
        key: The config's key that names one, such as `augment.policy`.
        room: The module that registers those of this package; imported when one is asked for.
        shipped: The names that the room registers, where importing it is slow: they are known
            without. A test compares them.
    """

    def __init__(self, key: str, room: str, shipped: tuple[str, ...] = ()) -> None:
        self.key, self.shipped = key, shipped
        self._room, self._things = room, dict[str, Thing]()
        self._writers = dict[str, str]()

    def register(self, name: str, by: object = None) -> Callable[[Registered], Registered]:
        """A decorator that adds a function or class under `name`.

        Args:
            name: As a config has it.
            by: The function or class that `name` stands for, where what is added only holds it.

        Raises:
            ValueError: The name is taken by another.
        """

        def add(thing: Any) -> Any:
            writer = _origin(thing if by is None else by)
            there = self._writers.setdefault(name, writer) if name in self._things else writer
            if there != writer:
                raise ValueError(f"{self.key}={name} is registered already, by {there}")
            self._things[name], self._writers[name] = thing, writer
            return thing

        return add

    def check(self, name: str) -> str:
        """A name, if it is registered.

        Raises:
            ValueError: It is not; names those that are.
        """
        if name not in self.shipped and name not in self:
            near = get_close_matches(name, self, 1)
            hint = f"; nearest: {near[0]}" if near else ""
            raise ValueError(f"must be one of {', '.join(self)}{hint}")
        return name

    def names(self) -> tuple[str, ...]:
        """All names: those of this package without an import where they are listed here."""
        if not self.shipped:
            return tuple(self)
        load_plugins()
        return tuple(dict.fromkeys((*self.shipped, *self._things)))

    def __getitem__(self, name: str) -> Thing:
        import_module(self._room)
        if name.startswith(TIMM) and self.key == "model.arch" and name not in self._things:
            import_module("trainable.network.timm_nets").register(name)
        # The configs' module looks names up while it is imported; a plugin may import that module.
        if name not in self._things:
            self._load()
        return self._things[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(self._things)

    def __len__(self) -> int:
        self._load()
        return len(self._things)

    def _load(self) -> None:
        import_module(self._room)
        load_plugins()


def load_plugins() -> None:
    """Import the modules that `TUNE_PLUGINS` lists."""
    for module in os.environ.get(PLUGINS, "").split(","):
        if module.strip():
            import_module(module.strip())


def _origin(thing: object) -> str:
    """Where a function or a class is written: the same when its module is loaded again."""
    kind = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"


METRICS: Registry[Any] = Registry(
    "objective.metric",
    "trainable.judging.metrics",
    (
        *("val_acc", "val_loss", "val_balanced_acc", "val_macro_f1", "val_auroc"),
        *("val_top5_acc", "val_cost", "val_map", "val_micro_f1"),
    ),
)
POLICIES: Registry[Any] = Registry("augment.policy", "trainable.augment.policies")
SOURCES: Registry[Any] = Registry("data.source", "trainable.data.sources")
RESNETS: Final = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
    *("wide_resnet50_2", "wide_resnet101_2"),
    *("resnet18_3x3", "resnet34_3x3", "resnet50_3x3"),
)
"""Networks of the ResNet family, which registers each of these names."""
ARCHS: Registry[Any] = Registry(
    "model.arch",
    "trainable.network.resnet",
    (
        *RESNETS,
        # Networks of other families of this package, each by its name.
    ),
)
