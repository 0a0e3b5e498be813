"""Rules 2 and 3 of the split: by the content of an image, and of those that are like it.

A group of images is in the test split if a number that its hash draws is below `test_fraction`,
else in the validation split if another one is below `val_fraction`. So an image stays where it is
when others are added, removed, renamed or moved, and when the other fraction changes: but for
copies of what is added or removed, classes with hardly any images, and what `data.limit` takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trainable.config import DataConfig
from trainable.data.hashing import uniform
from trainable.data.parts import SPLITS, Parts, SplitName
from trainable.data.splitting.grouping import check_given_splits
from trainable.data.splitting.sides import Sides

Indices = NDArray[np.int64]


@dataclass
class ContentSplit:
    """The split of a source's training images by their content.

    Attributes:
        parts: The source's images.
        groups: A number for each training image, the same for those that stay together.
        moved: The classes of which a split would have been empty, by its name.
        limit: What `data.limit` was, where it took images whatever group they are of.
    """

    parts: Parts
    groups: NDArray[np.uint64]
    moved: dict[SplitName, list[str]] = field(default_factory=dict)
    limit: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._labels = self.parts.labels["train"]
        if "train" in self.parts.targets:
            needed = 1 + sum(name not in self.parts.images for name in SPLITS)
            given = self.groups, self._labels, self.parts.targets["train"]
            self._labels = with_common_ones(*given, needed)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done otherwise than the fractions say, in a line for each split."""
        return tuple(
            f"{name} split: of {_listed(classes)} it takes the images of the lowest numbers, so "
            "that each split has some"
            for name, classes in self.moved.items()
        )

    def indices(self, config: DataConfig) -> dict[SplitName, Indices]:
        """Indices of the images of each split into those of the source, in the order of hashes.

        Raises:
            ValueError: A class has too few images, or too few that are not alike.
        """
        by_group = config.split_rule == 3 and any(map(any, self.parts.groups.values()))
        self.limit = config.limit if by_group else None
        check_given_splits(self.parts.groups)
        self._check_given()
        found = {name: np.arange(len(labels)) for name, labels in self.parts.labels.items()}
        has_val, rest = "val" in self.parts.images, found["train"]
        if "test" not in self.parts.images:
            spare = 1 if has_val else 2  # groups that the other splits need
            rest, found["test"] = self._held_out(rest, "test", config.test_fraction, spare)
        if config.limit is not None and config.limit < len(rest):
            rest = self._some(rest, config.limit, needed=1 if has_val else 2)
        if not has_val:
            rest, found["val"] = self._held_out(rest, "val", config.val_fraction, 1)
        found["train"] = rest
        return {name: self._in_order(name, found[name]) for name in SPLITS}

    def _check_given(self) -> None:
        """Check that the splits which the source gives have the same classes.

        Raises:
            ValueError: One lacks a class, which nobody would notice.
        """
        present = self._classes_of("train")
        for name in self.parts.labels:
            found = self._classes_of(name)
            for where, lacking in ((name, present - found), ("train", found - present)):
                if lacking:
                    classes = [self.parts.classes[label] for label in sorted(lacking)]
                    raise ValueError(
                        f"the {where} images that are given have none of {_listed(classes)}: put "
                        "an image of each class into each split, or give all images without splits"
                    )

    def _classes_of(self, name: SplitName) -> set[int]:
        """The classes that there are images of in a split which the source gives."""
        if name in self.parts.targets:
            return set(np.flatnonzero(self.parts.targets[name].any(0)).tolist())
        return set(np.unique(self.parts.labels[name]).tolist())

    def _held_out(
        self, pool: Indices, name: SplitName, share: float, spare: int
    ) -> tuple[Indices, Indices]:
        """Indices without and with those held out, of each class a group at least."""
        numbers, labels = uniform(self.groups[pool], name), self._labels[pool]
        drawn, of_images = np.unique(numbers, return_inverse=True)
        sides = Sides.of(of_images, labels, drawn < share, spare)
        few = {label: sides.total[label] for label in np.unique(labels)}
        self._check({label: count for label, count in few.items() if count <= spare}, spare + 1)
        moved, stuck = sides.fill()
        if stuck is not None:
            raise self._shared(stuck, pool, of_images)
        if moved:
            self.moved[name] = [self.parts.classes[label] for label in moved]
        held = sides.held[of_images]
        return pool[~held], pool[held]

    def _some(self, pool: Indices, count: int, needed: int) -> Indices:
        """A stratified `count` of images: of each class those of the lowest numbers.

        Raises:
            ValueError: Of a class there would be fewer groups than `needed`.
        """
        numbers, labels = uniform(self.groups[pool], "limit"), self._labels[pool]
        order = np.lexsort((self._hashes("train")[pool], numbers))
        present, sizes = np.unique(labels, return_counts=True)
        classes = [order[labels[order] == label] for label in present]
        firsts = [np.unique(numbers[each], return_index=True)[1] for each in classes]
        whole = dict(zip(present, map(len, firsts), strict=True))
        self._check({label: groups for label, groups in whole.items() if groups < needed}, needed)
        taken = quotas(sizes, count)
        least = np.array([first[needed - 1] + 1 for first in firsts])  # images, to have so many
        if (short := np.flatnonzero(taken < least)).size:
            enough = int(np.ceil(least * len(pool) / sizes).max())
            left = int((firsts[short[0]] < taken[short[0]]).sum())
            raise self._limited(present[short[0]], count, left, needed, enough)
        pairs = zip(classes, taken, strict=True)
        return pool[np.concatenate([of_class[:quota] for of_class, quota in pairs])]

    def _in_order(self, name: SplitName, indices: Indices) -> Indices:
        """By hash, and not by a name that may change; duplicates by label."""
        of: SplitName = name if name in self.parts.images else "train"
        keys = (self.parts.labels[of][indices], self._hashes(of)[indices])
        return indices[np.lexsort(keys)]

    def _hashes(self, name: SplitName) -> NDArray[np.uint64]:
        return self.parts.hashes[name]

    def _check(self, few: Mapping[int, int], needed: int) -> None:
        """Check that no class has too few groups.

        Args:
            few: How many those have that have too few.
            needed: How many each needs.

        Raises:
            ValueError: There are such classes.
        """
        if not few:
            return
        unit = "groups (data.group)" if any(map(any, self.parts.groups.values())) else "images"
        raised = "" if self.limit is None else f", or raise data.limit={self.limit}"
        names = [f"{self.parts.classes[label]} ({count})" for label, count in few.items()]
        raise ValueError(
            f"{len(self.groups)} training images cannot be split with every class on both sides: "
            f"too few {unit} that are not alike in {_listed(names)}, and each class needs {needed} "
            f"({self._purposes}); add some{raised}, or leave such classes out"
        )

    @property
    def _purposes(self) -> str:
        """What the training images are split into."""
        words = {"train": "training", "val": "validation", "test": "test"}
        carved = ["train", *(name for name in SPLITS[1:] if name not in self.parts.images)]
        *first, last = [words[name] for name in carved]
        return f"for {', '.join(first)} and {last} one each" if first else f"for {last}"

    def _limited(self, label: int, limit: int, left: int, needed: int, enough: int) -> ValueError:
        more = enough < len(self.groups)
        return ValueError(
            f"{limit} training images cannot be split with every class on both sides "
            f"(data.limit={limit}): it leaves class {self.parts.classes[label]} {left} that are "
            f"not alike, and it needs {needed}; "
            f"{f'give data.limit={enough} or more' if more else 'leave data.limit out'}"
        )

    def _shared(self, label: int, pool: Indices, of_images: NDArray[np.int64]) -> ValueError:
        """What to say of a class whose duplicates in other classes pull them along."""
        labels = self._labels[pool]
        in_groups = np.isin(of_images, of_images[labels == label])
        others = [
            self.parts.classes[each] for each in np.unique(labels[in_groups & (labels != label)])
        ]
        mixed = np.isin(of_images, of_images[in_groups & (labels != label)])
        files = self.parts.files.get("train", [])
        names = _listed([str(files[index]) for index in pool[mixed]] if files else [], "images")
        return ValueError(
            f"{len(self.groups)} training images cannot be split with every class on both sides: "
            f"class {self.parts.classes[label]} shares duplicates with {_listed(others)}, which "
            f"stay together{names and f' ({names})'}; give duplicates one label"
        )


def _listed(names: list[str], what: str = "classes") -> str:
    more = f" and {len(names) - 3} more {what}" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def with_common_ones(
    groups: NDArray[np.uint64], labels: Indices, targets: NDArray[np.uint8], needed: int
) -> Indices:
    """The class by which each image with any number of labels is split.

    That is its rarest label, unless too few images have that one as their rarest and enough have
    it: such images count with the largest class, since they would hinder a split for nothing.

    Args:
        groups: A number for each image, the same for those that stay together, of shape (N,).
        labels: The rarest label of each, of shape (N,).
        targets: Which labels each has, of shape (N, classes).
        needed: How many groups a split needs of each class.
    """
    classes = targets.shape[1]
    _, of_images = np.unique(groups, return_inverse=True)

    def count(images: Indices, kinds: Indices) -> Indices:
        pairs = np.unique(of_images[images] * classes + kinds)
        return np.bincount(pairs % classes, minlength=classes)

    rarest, all_of_them = count(np.arange(len(labels)), labels), count(*np.nonzero(targets))
    hinders = (rarest < needed) & (all_of_them >= needed)
    return np.where(hinders[labels], rarest.argmax(), labels)


def quotas(sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """How many of `count` each class gets, in proportion, by the largest remainders."""
    exact = sizes * count / sizes.sum()
    found: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    most = np.argsort(found - exact, kind="stable")
    found[most[: count - found.sum()]] += 1
    return found
