"""Whether the nodes of a cluster have the images of a search, byte for byte."""

from __future__ import annotations

from typing import Final

from rich.console import Console

from trainable.config import DataConfig
from trainable.ray_trainable import why_no_data
from trainable.runtime import ImageCache
from tune.base.errors import ConfigError
from tune.engine.nodes import Answer, alive_nodes, ask_each, is_one_of_several
from tune.study.search import Search

_SECONDS: Final = 600.0
"""How long the nodes have: one may have to copy the images first, as its trials would."""


def ask_for_images(data: DataConfig, cache: ImageCache, fingerprint: str | None) -> list[Answer]:
    """Ask each node on which trials may run why it has not the images of a fingerprint.

    Args:
        data: The images.
        cache: Where they are kept once they are decoded.
        fingerprint: That of this machine's; they need only be there without one.
    """
    able = [node for node in alive_nodes() if node["Resources"].get("CPU", 0.0)]
    question = (data, cache, fingerprint)
    return ask_each(why_no_data, *question, seconds=_SECONDS, nodes=able, ends_processes=True)


def check_images(search: Search, console: Console) -> None:
    """Check that each node on which trials may run has the images of a search.

    One that does not answer in time is left to its first trial, which looks too, as do those of a
    node that joins later.

    Raises:
        ConfigError: There are nodes that have others, or none.
    """
    if not is_one_of_several():
        return
    config = search.config
    answers = ask_for_images(config.data, config.cache.of_images, search.data_fingerprint)
    for late in (answer for answer in answers if answer.error):
        what = f"has not said whether it has these images ({late.error}): its trials will look"
        console.print(f"         {late.node} {what}", soft_wrap=True, markup=False)
    why = [f"{answer.node}: {answer.value}" for answer in answers if answer.value]
    if why:
        raise ConfigError(
            f"not every node has the images of this search ({'; '.join(why)}); put the same there, "
            "byte for byte, or give data.root an address that each fetches them from"
        )
