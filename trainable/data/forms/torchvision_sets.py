"""Any data set of torchvision with one label an image, by its name."""

from __future__ import annotations

import inspect
import re
import tempfile
from ast import literal_eval
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from operator import index
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import torch
import torchvision.datasets
from filelock import FileLock
from torchvision.datasets import VisionDataset

from trainable.data.forms.pairs import Pairs, file_or_image, from_pairs, held
from trainable.data.listing import Listing
from trainable.data.parts import Parts, SplitName

_SPLIT_NAMES: Final[dict[SplitName, tuple[str, ...]]] = {
    "train": ("train", "trainval", "train-standard"),
    "val": ("val", "valid"),
    "test": ("test",),
}
"""What torchvision's sets call their splits; of several the first that a set has."""
_OURS: Final = {
    *("root", "download", "loader", "train"),
    *("transform", "target_transform", "transforms"),
    *("is_valid_file", "allow_empty", "extensions"),
}
"""What no name may set."""
_MANY: Final = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
_CANNOT: Final = (OSError, RuntimeError, ValueError, ImportError)
"""What torchvision's sets raise where files are missing, and cannot be downloaded."""


@dataclass(frozen=True)
class TorchvisionSet:
    """A data set of torchvision.

    Attributes:
        name: The name of its class, such as `Flowers102`.
        options: What else its constructor gets.
        root: The folder of its files.
    """

    name: str
    options: Mapping[str, Any]
    root: Path

    @classmethod
    def named(cls, name: str, root: Path | None) -> TorchvisionSet:
        """The one of a name such as `DTD`, or `DTD?partition=2` with an option.

        Args:
            name: The name.
            root: Its folder; by default one of its name in torchvision's cache.

        Raises:
            ValueError: There is no such set.
        """
        kind, _, options = name.partition("?")
        known = [each for each in torchvision.datasets.__all__ if _is_a_set(each)]
        if kind not in known:
            near = get_close_matches(kind, known, 1)
            hint = f"; nearest: {near[0]}" if near else f": give one of {', '.join(known)}"
            raise ValueError(f"data.name={name}: torchvision has no such data set{hint}")
        root = root or Path(torch.hub.get_dir()).parent / "datasets" / kind
        return cls(kind, {key: _value(word) for key, word in parse_qsl(options)}, root)

    @property
    def is_local(self) -> bool:
        """Whether nothing would be downloaded."""
        try:
            self._made("train", may_download=False)
        except _CANNOT:
            return False
        return True

    def load(self, image_size: int) -> Listing | Parts:
        """Its files where it has such, else its images.

        Args:
            image_size: The side that the network sees, in pixels.

        Raises:
            ValueError: It is missing and cannot be downloaded, or has no labels.
        """
        sets = {name: self._made(name) for name in self._splits}
        labelled = {name: self._pairs(each, image_size) for name, each in sets.items()}
        none = [name for name, pairs in labelled.items() if pairs is None and name != "train"]
        found = {name: pairs for name, pairs in labelled.items() if pairs is not None}
        if "train" not in found:
            raise self._unlabelled()
        notes = [f"the {name} images of {self.name} have no labels: left out" for name in none]
        return from_pairs(found, _known_classes(sets["train"]), image_size, tuple(notes))

    @property
    def _kind(self) -> type[Any]:
        kind: type[Any] = getattr(torchvision.datasets, self.name)
        return kind

    @property
    def _parameters(self) -> dict[str, inspect.Parameter]:
        """Those of its constructor, and of the next above where it passes others on."""
        found: dict[str, inspect.Parameter] = {}
        for each in self._kind.__mro__:
            own = inspect.signature(each).parameters
            found = {**own, **found}
            if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in own.values()):
                break
        return found

    @property
    def _splits(self) -> dict[SplitName, dict[str, Any]]:
        """The arguments that choose each of its splits."""
        if "split" in self._parameters and "split" not in self.options:
            valid = self._valid_splits()
            chosen = {
                name: next((each for each in names if each in valid), None)
                for name, names in _SPLIT_NAMES.items()
            }
            if chosen["train"] is not None:
                return {name: {"split": each} for name, each in chosen.items() if each}
        if "train" in self._parameters:
            return {"train": {"train": True}, "test": {"train": False}}
        return {"train": {}}

    def _valid_splits(self) -> list[str]:
        """The names of its splits, which a set says when it is asked for another."""
        with tempfile.TemporaryDirectory() as folder:
            given = {"root": folder, **self.options, "split": "?"}
            try:
                self._kind(**given)
            except (*_CANNOT, TypeError) as error:  # of an option, which is checked below
                return re.findall(r"'([^'?]+)'", str(error).partition("Valid values")[2])
        return []

    def _made(self, name: SplitName, *, may_download: bool = True) -> Any:
        """Its split of a name; downloaded where it is missing.

        Raises:
            ValueError: It cannot be had.
        """
        given = {**self._splits[name], **self.options}
        self._check(given)
        if "loader" in self._parameters:
            given["loader"] = Path  # so that a set of files gives these
        if "root" in self._parameters:
            given["root"] = self.root
        if "download" not in self._parameters:
            return self._tried(given)
        try:
            return self._kind(**given, download=False)
        except _CANNOT:
            if not may_download:
                raise
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / ".download.lock"):
            return self._tried({**given, "download": True})

    def _check(self, given: Mapping[str, Any]) -> None:
        """Check that the constructor takes what it is given, and gets what it needs.

        Raises:
            ValueError: It does not.
        """
        taken = {key: each for key, each in self._parameters.items() if each.kind not in _MANY}
        own = [key for key in taken if key not in _OURS]
        for key in self.options:
            if key not in own:
                raise ValueError(
                    f"data.name={self.name}?{key}=...: torchvision's {self.name} has no such "
                    f"option; it has {', '.join(own) or 'none'}"
                )
        for key in own:
            if taken[key].default is inspect.Parameter.empty and key not in given:
                raise ValueError(
                    f"torchvision's {self.name} needs {key}: give data.name='{self.name}?{key}=...'"
                )

    def _tried(self, given: Mapping[str, Any]) -> Any:
        try:
            return self._kind(**given)
        except _CANNOT as error:
            raise ValueError(
                f"torchvision's {self.name} is not in {self.root}, and could not be downloaded "
                f"({error}): make torchvision.datasets.{self.name} elsewhere, copy its folder, and "
                "give that by data.root"
            ) from error

    def _pairs(self, made: Any, image_size: int) -> Pairs | None:
        """The images of a split, or their files, with their labels; None where it has no labels.

        Raises:
            ValueError: An image has no single label.
        """
        if len(made) == 0:
            return None
        # Of folders, which need not be read without a loader.
        samples = getattr(made, "samples", None) or (made[place] for place in range(len(made)))
        try:
            pairs = [
                (held(file_or_image(each), image_size), _number(label)) for each, label in samples
            ]
        except (TypeError, ValueError, AttributeError) as error:
            raise self._unlabelled() from error
        if all(label is None for _, label in pairs):
            return None
        return [(image, label) for image, label in pairs if label is not None]

    def _unlabelled(self) -> ValueError:
        return ValueError(
            f"data.name={self.name}: it is no set of images with one label each, as DTD and "
            "Flowers102 are"
        )


def _number(label: Any) -> int | None:
    return None if label is None else index(label)


def _is_a_set(name: str) -> bool:
    kind = getattr(torchvision.datasets, name)
    return isinstance(kind, type) and issubclass(kind, VisionDataset) and kind is not VisionDataset


def _value(word: str) -> Any:
    try:
        return literal_eval(word)
    except (ValueError, SyntaxError):
        return word


def _known_classes(made: Any) -> Sequence[Any]:
    for name in ("classes", "categories"):
        if isinstance(known := getattr(made, name, None), list | tuple):
            return known
    numbers = getattr(made, "class_to_idx", {})
    return sorted(numbers, key=lambda each: int(numbers[each]))
