"""Whose the files of a search's name are in a storage: one search's, however many start at once.

A search claims its name before it has a study, and commits the claim when it has one. A claim that
was not committed is one of a start that was killed: it belongs to nobody, and the next may follow
it. Each claim has one file for what comes after it, which is made and never replaced: what follows
it, or itself, once it is committed. So of all that want it one has it, without a clock or a lock.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from trainable.files.remote import AnyPlace, below, place_at

OWNER: Final = "owner.json"
"""The file that says which search's the trials' folders beside it are. A node that does not find it
does not see the storage."""

_CLAIMS: Final = "claims"
"""The folder of what came after each claim, by the identity of its search."""
_TRIALS: Final = "*-*"


class Claims:
    """Who has claimed a search's folder in a storage.

    All of these raise an OSError or a ValueError where the storage cannot be used.

    Args:
        address: The folder's path or address.
        patience: Seconds for which the storage is waited for.
    """

    def __init__(self, address: str | Path, patience: float) -> None:
        self._place = place_at(address, patience)
        self._next = place_at(below(address, _CLAIMS), patience)

    def claim(self, identity: str) -> bool:
        """Claim it for a new search; False where another has it, or was quicker."""
        if self._place.create(OWNER, _said(identity)):
            return True
        claims = self._all()
        if claims[-1] in claims[:-1] or self._place.folders(_TRIALS):
            return False
        return self._next.create(_after(claims[-1]), _said(identity))

    def commit(self, identity: str) -> bool:
        """Have it for good; done twice, it comes to the same.

        Returns:
            False where it is not the search's: another has followed its claim, or it never had one.
        """
        if identity not in self._all():
            return False
        if not self._next.create(_after(identity), _said(identity)):
            return False
        if _named(self._place.read(OWNER)) != identity:  # it had followed another
            self._place.write(OWNER, _said(identity))
        return True

    def withdraw(self, identity: str) -> None:
        """Leave it as it was before a claim, unless another has followed that."""
        if self._all() == [identity]:
            self._place.delete(OWNER)

    def _all(self) -> list[str]:
        """Those that have claimed it, each after the one before; the last twice if it is committed.

        Raises:
            FileNotFoundError: Nobody has.
        """
        found = [_named(self._place.read(OWNER))]
        while (after := _read(self._next, _after(found[-1]))) is not None:
            found.append(after)
            if after in found[:-1]:
                break
        return found


def _said(identity: str) -> bytes:
    return json.dumps({"search": identity}).encode()


def _named(content: bytes) -> str:
    found = json.loads(content)
    if not isinstance(found, dict) or "search" not in found:
        raise ValueError(f"{OWNER} names no search")
    return str(found["search"])


def _after(identity: str) -> str:
    return f"{identity}.json"


def _read(place: AnyPlace, name: str) -> str | None:
    try:
        return _named(place.read(name))
    except FileNotFoundError:
        return None
