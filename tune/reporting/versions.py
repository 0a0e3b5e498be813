"""The versions of a registered model, on the terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tune.models.champion import champion_of, versions_of
from tune.tracking.schema import ROLLED_BACK, Tag
from tune.tracking.tags import VersionTags

if TYPE_CHECKING:
    from tune.tracking.schema import Version
    from tune.tracking.server import Client


def show_versions(client: Client, name: str, console: Console) -> None:
    """Print a model's versions as a table, and below it why each is the champion or is not."""
    champion = champion_of(client, name)
    heads = ("version", "", "registered", "test", "confirmed", "model")
    table, decisions = Table(*heads, title=name, title_justify="left", box=None), []
    for version in versions_of(client, name):
        tags = VersionTags.of(version)
        date = time.strftime("%Y-%m-%d %H:%M", time.localtime(version.creation_timestamp / 1000))
        scores = [
            "" if score is None else tags.objective.show(score)
            for score in (tags.test, tags.confirmed)
        ]
        runs = tags.ingredients
        model = f"soup of {len(runs)}" if len(runs) > 1 else " ".join(runs)
        table.add_row(str(version.version), _mark(version, champion), date, *scores, model)
        decided = tags.decision or "not decided yet"
        tested = f"; {tags.tested}" if tags.tested else ""
        decisions.append(f"  version {version.version}: {decided}{tested}")
    console.print(table)
    for decision in decisions:
        console.print(decision, soft_wrap=True)


def _mark(version: Version, champion: Version | None) -> str:
    if champion and version.version == champion.version:
        return "champion"
    return ROLLED_BACK if version.tags.get(Tag.PROMOTED) == ROLLED_BACK else ""
