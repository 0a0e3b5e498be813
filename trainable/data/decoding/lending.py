"""What the store has of some files in arrays of others: with a file more, the rest are not read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.data.decoding.facts import FACTS
from trainable.store.arrays import ArrayStore
from trainable.store.chunks import Compute
from trainable.store.mapped import Mapped

_LOOKED_AT: Final = 8
"""The arrays of facts that are looked through, the latest."""
_OF_FILES: Final = ("data", "folder")
"""Of a key, what says of which files an array is."""


class DamagedError(ValueError):
    """What is to be lent is damaged."""


class Lender:
    """An array of other files, some of which are the wanted ones.

    Args:
        array: The array.
        places: For each wanted file the row that it has there; -1 where it has none.
    """

    def __init__(self, array: Mapped, places: NDArray[np.int64]) -> None:
        self._array, self._places = array, places

    def rows(self, compute: Compute, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` of the wanted array: those that are there, the others computed."""
        places = self._places[start:stop]
        there = np.flatnonzero(places >= 0)
        try:
            lent = self._array.take(places[there])
        except DamagedError:
            return compute(start, stop)
        out = torch.empty((len(places), *lent.shape[1:]), dtype=lent.dtype)
        out[torch.from_numpy(there)] = lent
        for row in np.flatnonzero(places < 0).tolist():
            out[row] = compute(start + row, start + row + 1)[0]
        return out


def lender_of(
    store: ArrayStore, key: Mapping[str, Any], wanted: NDArray[np.uint64], size: int
) -> Lender | None:
    """The array of a store that has most of some files, if any has one of them.

    Args:
        store: The store.
        key: Of the wanted array.
        wanted: What identifies its files.
        size: Its bytes; there must be room for both.
    """
    lender, most = None, 0
    arrays = {each.key["data"]: each for each in store.entries() if _is_kin(each.key, key)}
    facts_key = {**key, "what": "facts"}
    facts_key.pop("image_size", None)
    facts = [entry for entry in store.entries() if _is_kin(entry.key, facts_key)]
    for entry in [each for each in facts if each.key["data"] in arrays][:_LOOKED_AT]:
        array = arrays[entry.key["data"]]
        known = store.peek(entry, _damaged)
        if known is None or store.why_no_room(size + array.size):
            continue
        places = _places(wanted, known.array.numpy().view(FACTS)[:, 0]["identity"])
        found = store.peek(array, _damaged)
        if found is not None and (count := int((places >= 0).sum())) > most:
            lender, most = Lender(found, places), count
    return lender


def _is_kin(key: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an array differs from a wanted one by its files alone."""
    return {**key, **{name: wanted[name] for name in _OF_FILES}} == dict(wanted)


def _places(wanted: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.int64]:
    """For each file its row among the known ones; -1 where it has none."""
    order = np.argsort(known)
    at = np.searchsorted(known, wanted, sorter=order).clip(max=len(known) - 1)
    return np.where(known[order[at]] == wanted, order[at], -1)


def _damaged(start: int, stop: int) -> Tensor:
    raise DamagedError(f"rows {start} to {stop}")
