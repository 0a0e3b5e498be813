"""Passwords in the addresses of databases and servers: what is shown, stored or sent lacks them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, unquote_plus

_IN_ADDRESS: Final = re.compile(
    r"(?<=://)([^\s/:]*):"
    r"(\S*|(?!\d*(?:[/?\s'\",;:)]|$))(?:(?!://)[^\n'\"])*)@"
)
"""A user, which may hold an @, and a password, which may hold what it should have escaped: up to
the last @, and with spaces if there is none before the first, unless it is a port."""
_TOKEN: Final = re.compile(r"(https?://)([^\s/:@]+)@(?![^\s/]*@)", re.IGNORECASE)
"""A user without a password, which for a web server is a token as a rule."""
_IN_QUERY: Final = re.compile(r"\b(\w*password|passwd|pwd)=([^\s&'\"]+)", re.IGNORECASE)
_SHORTEST: Final = 6
"""The length of a part of a password below which it is not looked for alone."""


def masked(text: object, *addresses: str | None) -> str:
    """A text with `***` for each password.

    Args:
        text: What is to be shown, such as an error's message.
        addresses: Addresses whose passwords may stand in it alone, as where a library has taken
            the half of a password that holds an @ for a host.
    """
    shown = _IN_ADDRESS.sub(r"\1:***@", _TOKEN.sub(r"\1***@", str(text)))
    shown = _IN_QUERY.sub(r"\1=***", shown)
    for address in filter(None, addresses):
        for secret in sorted(_secrets(address), key=len, reverse=True):
            shown = _as_words(secret).sub("***", shown)
    return shown


def without_passwords(address: str) -> str:
    """An address that names the user at most."""
    shorter = _TOKEN.sub(r"\1", address)
    shorter = _IN_ADDRESS.sub(lambda found: f"{found[1]}@" if found[1] else "", shorter)
    rest = re.sub(rf"(?<=[?&])(?:{_IN_QUERY.pattern})&?", "", shorter, flags=re.IGNORECASE)
    return shorter if rest == shorter else rest.rstrip("?&")


def _secrets(address: str) -> set[str]:
    """The passwords of an address, as they are written and as they are meant, and their parts."""
    found = [
        match[2]
        for pattern in (_TOKEN, _IN_ADDRESS, _IN_QUERY)
        for match in pattern.finditer(address)
    ]
    whole = {form for each in found for form in (each, unquote(each), unquote_plus(each))}
    return {secret for secret in whole.union(*map(_parts, found)) if secret}


def _parts(password: str) -> Iterator[str]:
    """What a library may take for something else: long parts, and ends with the @ that follows."""
    yield from (part for part in re.split("[@/:]", password) if len(part) >= _SHORTEST)
    yield from (f"{password[sign.end() :]}@" for sign in re.finditer("[@/:](?=.)", password))


def _as_words(secret: str) -> re.Pattern[str]:
    """A pattern of a secret that is not a part of longer words; an @ at its end is none of it."""
    words = secret.removesuffix("@") or secret
    before = r"(?<!\w)" if re.match(r"\w", words) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", words) else ""
    return re.compile(before + re.escape(words) + after + ("(?=@)" if words != secret else ""))
