"""Which groups of images are held out, so that every class lies on both sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class Sides:
    """The groups of a split in the order of their numbers, and the classes of each.

    Attributes:
        groups: The group of each pair of a group and a class that has images of it, sorted.
        labels: The class of each pair.
        held: Whether each group is held out.
        total: How many groups each class has.
        spare: How many groups of each class must not be held out.
    """

    groups: NDArray[np.int64]
    labels: NDArray[np.int64]
    held: NDArray[np.bool_]
    total: NDArray[np.int64]
    spare: int

    @classmethod
    def of(
        cls,
        of_images: NDArray[np.int64],
        labels: NDArray[np.int64],
        held: NDArray[np.bool_],
        spare: int,
    ) -> Sides:
        """Those of images, of each of which the group and the class are given."""
        classes = int(labels.max()) + 1
        groups, own = np.divmod(np.unique(of_images * classes + labels), classes)
        return cls(groups, own, held, np.bincount(own), spare)

    def fill(self) -> tuple[list[int], int | None]:
        """Move groups of each class of which a side would lack some, from the lowest numbers on.

        Returns:
            The classes of which groups were moved, and one of which a side still lacks groups.
        """
        moved, forced = set[int](), set[int]()
        while len(wrong := self._wrong()):
            label = int(wrong[0])
            group = self._to_move(label, forced)
            if group is None:
                return sorted(moved), label
            self.held[group] = not self.held[group]
            moved.add(label)
        return sorted(moved), None

    def _wrong(self) -> NDArray[np.int64]:
        return np.flatnonzero((self.total > 0) & (self._moves() != 0))

    def _moves(self) -> NDArray[np.int64]:
        """How many groups of each class are still to be held out, or not, if below zero."""
        count = self._held_of_classes()
        return np.clip(count, 1, self.total - self.spare) - count

    def _held_of_classes(self) -> NDArray[np.int64]:
        return np.bincount(self.labels[self.held[self.groups]], minlength=len(self.total))

    def _to_move(self, label: int, forced: set[int]) -> int | None:
        """The group of a class to move, which harms no other class if there is such a one.

        Args:
            label: The class.
            forced: The groups that were moved although it harmed another class. This is done
                once with each, and it is added.
        """
        count, to_hold = self._held_of_classes(), self._moves()[label] > 0
        limit = self.total - self.spare - 1 if to_hold else self.total
        least = 0 if to_hold else 2
        candidates = self.groups[self.labels == label]
        candidates = candidates[self.held[candidates] != to_hold]
        best, least_harm = None, len(self.total)
        for group in candidates if to_hold else candidates[::-1]:
            others = self._classes_of(group, label)
            harm = int(((count[others] > limit[others]) | (count[others] < least)).sum())
            if harm == 0:
                return int(group)
            if harm < least_harm and int(group) not in forced:
                best, least_harm = int(group), harm
        if best is not None:
            forced.add(best)
        return best

    def _classes_of(self, group: int, but: int) -> NDArray[np.int64]:
        first, last = np.searchsorted(self.groups, [group, group + 1])
        own = self.labels[first:last]
        return own[own != but]
