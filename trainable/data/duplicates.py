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

from trainable.data.looks import Looks
from trainable.data.seen import MOST_BITS

LEAST_CORRELATION: Final = 0.92
"""How well their thumbnails correlate at least, each channel about its mean."""
LARGEST_CHAIN: Final = 100
"""Images of the largest group in which two may be alike only by way of others."""

_BANDS, _BITS = 4, 16
_LARGEST_BUCKET: Final = 1000
"""Images that share a band of the hash, above which it says nothing."""
_AT_ONCE: Final = 1 << 20
"""Pairs that are compared at once."""

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
    """Pairs of images that look the same, of shape (P, 2), each with the smaller index first."""
    points = looks.thumbs.reshape(len(looks.thumbs), -1, 3).astype(np.float32)
    points -= points.mean(1, keepdims=True)
    points /= np.maximum(points.std((1, 2)), 1)[:, None, None]
    flat = points.reshape(len(points), -1)
    found = [np.empty((0, 2), np.int64)]
    for pairs in _candidates(looks.hashes, np.flatnonzero(looks.hashes)):
        one, other = flat[pairs[:, 0]], flat[pairs[:, 1]]
        found.append(pairs[np.einsum("ij,ij->i", one, other) / flat.shape[1] >= LEAST_CORRELATION])
    return np.unique(np.concatenate(found), axis=0)


def _candidates(hashes: NDArray[np.uint64], among: NDArray[np.int64]) -> Iterator[Pairs]:
    """Pairs whose hashes are close, some at a time.

    Two hashes of which no more than 7 bits differ have a quarter in which at most one does. So
    it is enough to compare each with those that share a quarter but for a bit.
    """
    hashes = hashes[among]
    for band in range(_BANDS):
        keys = (hashes >> np.uint64(_BITS * band)).astype(np.uint16)
        order = np.argsort(keys, kind="stable")
        bounds = np.searchsorted(keys[order], np.arange(2**_BITS + 1))
        for mask in (0, *(1 << bit for bit in range(_BITS))):
            probed = keys ^ np.uint16(mask)
            low, high = bounds[probed], bounds[probed.astype(np.int64) + 1]
            counts = np.where(high - low > _LARGEST_BUCKET, 0, high - low)
            for one, other in _expanded(low, counts, order):
                near = np.bitwise_count(hashes[one] ^ hashes[other]) <= MOST_BITS
                yield np.stack([among[one[near]], among[other[near]]], axis=1)


def _expanded(
    low: NDArray[np.int64], counts: NDArray[np.int64], order: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Each image with each of its bucket that has a larger index."""
    ends = np.cumsum(counts)
    cuts = np.searchsorted(ends, np.arange(_AT_ONCE, ends.max(initial=0), _AT_ONCE))
    for rows in np.split(np.arange(len(counts)), np.unique(cuts)):
        of_rows = counts[rows]
        one = np.repeat(rows, of_rows)
        place = np.arange(len(one)) - np.repeat(np.cumsum(of_rows) - of_rows, of_rows)
        other = order[np.repeat(low[rows], of_rows) + place]
        later = other > one
        yield one[later], other[later]


def _smallest_of_each(count: int, pairs: Pairs) -> NDArray[np.int64]:
    """For each image the first of those that it is connected with, if need be by others."""
    ones = np.ones(len(pairs), np.int8)
    graph = coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    _, firsts, sizes = np.unique(labels, return_index=True, return_counts=True)
    groups = firsts[labels]
    if sizes.max(initial=0) > LARGEST_CHAIN:
        long = sizes[labels] > LARGEST_CHAIN
        groups[long] = _stars(count, pairs[long[pairs[:, 0]]])[long]
    return groups


def _stars(count: int, pairs: Pairs) -> NDArray[np.int64]:
    """For each image itself, or an earlier one that it is a copy of and that is none itself."""
    groups = np.arange(count)
    for one, other in pairs:  # in the order of the first, so that it is decided by then
        if groups[one] == one and groups[other] == other:
            groups[other] = one
    return groups
