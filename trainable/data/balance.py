"""How many images each class has, and what to do where they are few, or far from equally many."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final

from trainable.data.datasets import Dataset
from trainable.data.parts import SPLITS

FEW: Final = 20
"""Training images of a class below which it is hardly learned."""
UNEQUAL: Final = 20
"""Times as many images of one class as of another, from which accuracy hardly notices the other."""
_LISTED: Final = 10
"""Classes that a line lists."""
_NAMED: Final = 3
_REMEDIES: Final = {
    "objective.metric": "objective.metric=val_balanced_acc",
    "train.class_weights": "train.class_weights=balanced",
    "train.sampler": "train.sampler=balanced",
}
"""What helps, by the key: what a search is after, and what training goes by."""
_OF_SEVERAL: Final = {"objective.metric": "objective.metric=val_map"}
"""What helps instead where an image may have any number of labels."""


@dataclass(frozen=True)
class Balance:
    """The images of each class in each split.

    Attributes:
        classes: The names of the classes.
        counts: For each class, its training, validation and test images.
        several: Whether an image may have any number of labels.
    """

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    several: bool = False

    @classmethod
    def of(cls, dataset: Dataset) -> Balance:
        """Those of a dataset."""
        classes = dataset.classes
        columns = [dataset.split(name).counts(len(classes)) for name in SPLITS]
        return cls(classes, tuple(zip(*columns, strict=True)), dataset.has_several)

    @property
    def ratio(self) -> float:
        """How many times the training images of the smallest class the largest has."""
        found = self._train
        return max(found) / max(1, min(found))

    @property
    def described(self) -> str:
        """The counts in a line: of each class, or of many those with the fewest and the most."""
        if len(self.classes) <= _LISTED:
            shown = (
                f"{name}: {' + '.join(map(str, counts))}"
                for name, counts in zip(self.classes, self.counts, strict=True)
            )
            return ", ".join(shown)
        found = self._train
        order = sorted(range(len(found)), key=found.__getitem__)
        few = ", ".join(f"{self.classes[place]}: {found[place]}" for place in order[:_NAMED])
        most = order[-1]
        return f"{few}, ... {self.classes[most]}: {found[most]} training images"

    def warnings(self, used: Container[str] = ()) -> list[str]:
        """What is to be said of classes with few images, or with none in a split.

        Args:
            used: Keys that are set or searched already, which are not named.
        """
        return [*self._missing(), *self._unequal(used)]

    @property
    def _train(self) -> list[int]:
        return [counts[0] for counts in self.counts]

    def _missing(self) -> list[str]:
        lines = []
        for place, split in enumerate(SPLITS):
            none = [
                name
                for name, counts in zip(self.classes, self.counts, strict=True)
                if not counts[place]
            ]
            if none:
                lines.append(
                    f"no {_WORDS[split]} images of {_listed(none)}: {_WITHOUT[split]}; give some"
                )
        return lines

    def _unequal(self, used: Container[str]) -> list[str]:
        found = self._train
        few = sorted((count, name) for name, count in zip(self.classes, found, strict=True))
        few = [(count, name) for count, name in few if 0 < count < FEW]
        shares = []
        if few:
            names = _listed([f"{name} ({count})" for count, name in few])
            shares.append(f"fewer than {FEW} training images of {names}")
        if self.ratio > UNEQUAL:
            most = self.classes[found.index(max(found))]
            least = self.classes[found.index(min(found))]
            shares.append(f"{most} has {self.ratio:.0f} times as many as {least}")
        known = _REMEDIES | (_OF_SEVERAL if self.several else {})
        remedies = [words for key, words in known.items() if key not in used]
        if not shares:
            return []
        advice = f"; consider {', '.join(remedies)}" if remedies else ""
        return [f"{'; '.join(shares)}: accuracy says little of small classes{advice}"]


_WORDS: Final = {"train": "training", "val": "validation", "test": "test"}
_WITHOUT: Final = {
    "train": "no model learns them",
    "val": "no trial is chosen by them",
    "test": "nothing tells how well they are known",
}


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more classes" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
