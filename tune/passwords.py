"""Passwords in the addresses of databases and servers: what is shown, stored or sent lacks them."""

from __future__ import annotations

import re
from typing import Final

_IN_ADDRESS: Final = re.compile(r"(?<=://)([^\s/:@]*):(\S*)@")
"""A user and a password, which may hold what it should have escaped: up to the last @."""
_IN_QUERY: Final = re.compile(r"\b(\w*password|passwd|pwd)=([^\s&'\"]+)", re.IGNORECASE)
_SHORTEST: Final = 3
"""The length of a part of a password below which it is not looked for alone."""


def masked(text: object, *addresses: str | None) -> str:
    """A text with `***` for each password.

    Args:
        text: What is to be shown, such as an error's message.
        addresses: Addresses whose passwords may stand in it alone, as where a library has taken
            the half of a password that holds an @ for a host.
    """
    shown = _IN_QUERY.sub(r"\1=***", _IN_ADDRESS.sub(r"\1:***@", str(text)))
    for address in filter(None, addresses):
        for secret in _secrets(address):
            shown = shown.replace(secret, "***")
    return shown


def without_passwords(address: str) -> str:
    """An address that names the user at most."""
    shorter = _IN_ADDRESS.sub(lambda found: f"{found[1]}@" if found[1] else "", address)
    return re.sub(rf"(?<=[?&])(?:{_IN_QUERY.pattern})&?", "", shorter, flags=re.IGNORECASE)


def _secrets(address: str) -> list[str]:
    """The passwords of an address and their parts, the longest first."""
    found = [match[2] for match in (*_IN_ADDRESS.finditer(address), *_IN_QUERY.finditer(address))]
    parts = {part for each in found for part in (each, *re.split("[@/:]", each))}
    return sorted((part for part in parts if len(part) >= _SHORTEST), key=len, reverse=True)
