"""Images that are copies of each other: in every byte, or of another size, quality or brightness.

They are one group, and a group lies in one split: else a model is tested on what it was trained on.
The thresholds were chosen by `benchmarks/duplicates.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from trainable.data.looks import MOST_BITS, Looks

LEAST_CORRELATION: Final = 0.92
"""How well their thumbnails correlate at least, each channel about its mean."""
LARGEST_CHAIN: Final = 100
LARGEST_SHARE: Final = 0.02
"""Images, or share of all if that is more, of the largest group in which two may be alike only by
way of others."""

_BANDS, _BITS = 4, 16
_NEIGHBOURS: Final = 16
"""Images of those that share a band of the hash with which each is compared."""
_AT_ONCE: Final = 4096
"""Pairs whose thumbnails are compared at once."""

Pairs = NDArray[np.int64]


def group_images(hashes: NDArray[np.uint64], looks: Looks) -> NDArray[np.uint64]:
    """The group of each image.

    Args:
        hashes: What identifies each image, uint64 of shape (N,).
        looks: How they look.

    Returns:
        The smallest hash in its group, uint64 of shape (N,); its own where it is alone.
    """
    unique, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    pairs = near_pairs(Looks(looks.hashes[first], looks.thumbs[first]))
    return unique[_smallest_of_each(len(unique), pairs)][inverse]


def near_pairs(looks: Looks) -> Pairs:
    """Pairs of images that look the same, of shape (P, 2), each with the smaller index first.

    Of images that are connected by other pairs already, not all are compared.
    """
    count, thumbs = len(looks.hashes), _Thumbs(looks.thumbs)
    found, labels = np.empty((0, 2), np.int64), np.arange(count)
    for candidates in _candidates(looks.hashes, np.flatnonzero(looks.hashes)):
        open_ones = candidates[labels[candidates[:, 0]] != labels[candidates[:, 1]]]
        new = thumbs.alike(np.unique(open_ones, axis=0))
        if len(new):
            found = np.concatenate([found, new])
            labels = _connected(count, found)
    return found[np.lexsort((found[:, 1], found[:, 0]))]


class _Thumbs:
    """Thumbnails that are compared, each channel about its mean."""

    def __init__(self, thumbs: NDArray[np.uint8]) -> None:
        self._flat = thumbs.reshape(len(thumbs), -1)
        points = thumbs.reshape(len(thumbs), -1, 3)
        self._sums = points.sum(1, dtype=np.float32) / np.float32(points.shape[1] ** 0.5)
        squares = np.einsum("ij,ij->i", self._flat, self._flat, dtype=np.float32)
        self._norms = np.sqrt(np.maximum(squares - (self._sums**2).sum(1), 1))

    def alike(self, pairs: Pairs) -> Pairs:
        """The pairs that correlate well enough."""
        parts = [pairs[start : start + _AT_ONCE] for start in range(0, len(pairs), _AT_ONCE)]
        found = [part[self._correlation(*part.T) >= LEAST_CORRELATION] for part in parts]
        return np.concatenate(found) if found else pairs

    def _correlation(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float32]:
        dot = np.einsum("ij,ij->i", self._flat[one], self._flat[other], dtype=np.float32)
        product: NDArray[np.float32] = dot - (self._sums[one] * self._sums[other]).sum(1)
        return product / (self._norms[one] * self._norms[other])


def _candidates(hashes: NDArray[np.uint64], among: NDArray[np.int64]) -> Iterator[Pairs]:
    """Pairs of images whose hashes are close, some at a time.

    Two hashes of which no more than 7 bits differ have a quarter in which at most one does. So it
    is enough to compare each with those that share a quarter but for a bit, and of many that do,
    as the frames of a film, with the next in the order of the hashes.
    """
    own = hashes[among]
    for band in range(_BANDS):
        keys = (own >> np.uint64(_BITS * band)).astype(np.uint16)
        order = np.lexsort((own, keys))
        buckets = keys[order].astype(np.int64)
        bounds = np.searchsorted(buckets, np.arange(2**_BITS + 1))
        for mask in (0, *(1 << bit for bit in range(_BITS))):
            probed = buckets ^ mask
            low = bounds[probed] if mask else np.arange(1, len(order) + 1)
            counts = np.minimum(bounds[probed + 1] - low, _NEIGHBOURS)
            one = np.repeat(order, counts)
            place = np.arange(len(one)) - np.repeat(np.cumsum(counts) - counts, counts)
            other = order[np.repeat(low, counts) + place]
            near = np.bitwise_count(own[one] ^ own[other]) <= MOST_BITS
            pairs = np.sort(np.stack([among[one[near]], among[other[near]]], axis=1), axis=1)
            yield pairs


def _smallest_of_each(count: int, pairs: Pairs) -> NDArray[np.int64]:
    """For each image the first of those that it is connected with, if need be by others."""
    labels = _connected(count, pairs)
    _, firsts, sizes = np.unique(labels, return_index=True, return_counts=True)
    groups = firsts[labels]
    largest = max(LARGEST_CHAIN, round(LARGEST_SHARE * count))
    if sizes.max(initial=0) > largest:
        long = sizes[labels] > largest
        groups[long] = _stars(count, pairs[long[pairs[:, 0]]])[long]
    return groups


def _connected(count: int, pairs: Pairs) -> NDArray[np.int64]:
    """A number for each image, the same for those that pairs connect."""
    ones = np.ones(len(pairs), np.int8)
    graph = coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    labels: NDArray[np.int64] = connected_components(graph, directed=False)[1]
    return labels


def _stars(count: int, pairs: Pairs) -> NDArray[np.int64]:
    """For each image itself, or an earlier one that it is a copy of and that is none itself."""
    groups = np.arange(count)
    for one, other in pairs:  # in the order of the first, so that it is decided by then
        if groups[one] == one and groups[other] == other:
            groups[other] = one
    return groups
