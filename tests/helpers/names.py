"""Names that a folder of images may have, and that something could take for more than a name."""

from __future__ import annotations

from typing import Final

NASTY: Final = (
    r"$\frac{x$",
    "$a$ and $b$",
    r"back\slash\n",
    "{braces} %{x} %s {{ name }}",
    "<script>alert(1)</script>",
    "<b>bold</b> &amp; <br>",
    "<a href='javascript:alert(1)'>link</a>",
    "[red]red[/red] [/]",
    ":smile: **bold** `code` # heading",
    "..\\..",
    "~",
    " spaces around ",
    "two\nlines",
    "\x1b[31mred\x1b[0m",
    "\u202eturned around",
    "'; DROP TABLE runs; --",
    "label",
    "nan",
    "1e5",
    "2026-01-31",
    "猫 👩\u200d🔬 😀",
    "חתול قطة",
    "long " * 50 + "name",
)
"""Each is a name of one folder on Linux; they are in sorted order nowhere else."""
