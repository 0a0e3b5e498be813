"""Which images stay together in one split: duplicates, and those of one patient or camera."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from trainable.base.text import printable
from trainable.data.hashing import hash_text
from trainable.data.parts import SplitName

Numbers = NDArray[np.uint64]


def stay_together(
    copies: Mapping[SplitName, Numbers], names: Mapping[SplitName, Sequence[str]]
) -> dict[SplitName, Numbers]:
    """A number for each image of a source, the same for those that must lie in one split.

    It is drawn from the name of the group where there is one: so an image more of a patient moves
    none of the others.

    Args:
        copies: A number for each image, the same for duplicates.
        names: The name of each image's group; empty text where it has none. Empty where no image
            has.
    """
    if not names:
        return dict(copies)
    joined = _joined(
        np.concatenate(list(copies.values())),
        np.concatenate([np.array(names[split], object) for split in copies]),
    )
    ends = np.cumsum([len(each) for each in copies.values()])
    return dict(zip(copies, np.split(joined, ends[:-1]), strict=True))


def check_given_splits(names: Mapping[SplitName, Sequence[str]]) -> None:
    """Check that no group lies in two of the splits that a source gives.

    Raises:
        ValueError: One does.
    """
    places: dict[str, set[SplitName]] = {}
    for split, each in names.items():
        for name in filter(None, set(each)):
            places.setdefault(name, set()).add(split)
    torn = sorted(name for name, splits in places.items() if len(splits) > 1)
    if torn:
        more = f", and {len(torn) - 1} more groups are torn too" if len(torn) > 1 else ""
        raise ValueError(
            f"data.group: the images of {torn[0]} lie in {' and '.join(sorted(places[torn[0]]))}"
            f"{more}: put the images of a group into one split, or give all images without splits"
        )


def names_by_pattern(
    pattern: str | None, root: Path, files: Mapping[SplitName, Sequence[Path]]
) -> tuple[dict[SplitName, Sequence[str]], tuple[str, ...]]:
    """The names of the groups of files, by an expression on their paths, and what to say of them.

    Args:
        pattern: A regular expression, searched in each path below `root`; its first group is the
            name. None for no groups.
        root: The source's folder.
        files: By split.

    Raises:
        ValueError: It is not found in some of the paths.
    """
    if pattern is None:
        return {}, ()
    expression = re.compile(pattern)
    names: dict[SplitName, Sequence[str]] = {}
    missed: list[str] = []
    for split, paths in files.items():
        below = [path.relative_to(root).as_posix() for path in paths]
        found = [expression.search(each) for each in below]
        missed += [each for each, match in zip(below, found, strict=True) if match is None]
        names[split] = ["" if match is None else match[1] or "" for match in found]
    if missed:
        raise ValueError(
            f"data.group={pattern} is not found in {len(missed)} of {sum(map(len, files.values()))}"
            f" paths, such as {printable(missed[0])}: give an expression that is, or "
            f"'^(?:.*?{pattern.removeprefix('^')})?', by which these stand for themselves"
        )
    return names, describe_groups(names)


def describe_groups(names: Mapping[SplitName, Sequence[str]]) -> tuple[str, ...]:
    """How many groups there are, in one line."""
    sizes = Counter(name for each in names.values() for name in each if name)
    if not sizes:
        return ()
    least, most = min(sizes.values()), max(sizes.values())
    count = f"{least}" if least == most else f"{least} to {most}"
    return (f"{len(sizes)} groups of {count} images, each of which stays in one split",)


def _joined(copies: Numbers, names: NDArray[np.object_]) -> Numbers:
    """Duplicates of an image of a group belong to it, and so groups may be joined."""
    smallest, of_images = np.unique(copies, return_inverse=True)
    named = np.flatnonzero(names != "")
    present, of_named = np.unique(names[named].astype(str), return_inverse=True)
    count = len(smallest) + len(present)
    ones = np.ones(len(named), np.int8)
    pairs = (of_images[named], len(smallest) + of_named)
    labels = connected_components(coo_matrix((ones, pairs), shape=(count, count)), directed=False)[
        1
    ]
    numbers = np.concatenate([smallest, np.array([hash_text(name) for name in present], np.uint64)])
    # The names come last, so that theirs stand where a component has some.
    order = np.lexsort((~numbers, np.arange(count) >= len(smallest)))
    least = np.empty(labels.max(initial=0) + 1, np.uint64)
    least[labels[order]] = numbers[order]
    return least[labels[of_images]]
