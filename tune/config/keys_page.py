"""The page of all keys, `docs/keys.md`."""

from __future__ import annotations

from collections.abc import Iterator

from tune.config.catalog import Key, Section, sections

_TOP = """\
# Keys

Every key of a config, as `python -m tune.keys` lists them. Made by `make keys` from the models in
`trainable/config/` and `tune/config/`: change it there.

A key is set on the command line (`optim.lr=1e-3`) or in a YAML file (`optim: {lr: 1.0e-3}`). What
`searched` says yes to may also be searched: `space.optim.lr=[1e-3, 1e-2]`, or
`space.optim.lr={low: 1e-4, high: 1e-2, log: true}`.
"""


def as_markdown() -> str:
    """All keys, with a table for each section."""
    return "\n".join([_TOP, *("\n".join(_lines(section)) for section in sections())])


def _lines(section: Section) -> Iterator[str]:
    yield from (f"## {section.title}", "", section.meaning, "")
    yield from ("| key | takes | default | searched | meaning |", "| --- | --- | --- | --- | --- |")
    yield from map(_row, section.keys)
    yield ""


def _row(key: Key) -> str:
    default = f"`{key.default}`" if key.default else ""
    cells = (f"`{key.name}`", key.takes, default, "yes" if key.searched else "", key.meaning)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
