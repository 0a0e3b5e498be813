"""`python -m tune.registry`: which version is the champion, and why; and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from tune.cli import Door, UriOption, open_console
from tune.errors import DONE, FAILED, ConfigError
from tune.tracking.server import check_tracking, is_there, open_client, tracking_uri

if TYPE_CHECKING:
    from tune.tracking.server import Client

app = Door("tune.registry")


@app.command()
def main(
    name: Annotated[
        str | None, typer.Argument(help="The registered model's name; by default all are shown.")
    ] = None,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Make the previous champion the champion again.")
    ] = False,
    uri: UriOption = None,
) -> int:
    """Show the versions of registered models, and why each is the champion or is not.

    Examples:
    `python -m tune.registry`

    `python -m tune.registry resnet18-digits --rollback`

    Exit code: 0 done, 1 nothing to roll back to or it cannot be loaded, 2 a mistake in the command.
    """
    check_tracking(tracking_uri(uri))

    from tune.models.champion import roll_back

    if rollback and name is None:
        raise ConfigError("--rollback needs the name of a model")
    client = open_client(uri) if is_there(uri) else None  # which would make a database
    models = [] if client is None else client.search_registered_models()
    known = sorted(model.name for model in models)
    if name is not None and name not in known:
        there = f"there is {', '.join(known)}" if known else "none is: run python -m tune.search"
        raise ConfigError(f"{name}: no such model is registered; {there}")
    if client is None or not known:
        print("no model is registered here: python -m tune.search makes one")
        return DONE
    if name is None or not rollback:
        for each in [name] if name else known:
            _show(client, each)
        return DONE
    try:
        version = roll_back(client, name)
    except ConfigError as error:
        app.complain(error)
        return FAILED
    if version is None:
        app.complain(f"{name} has had no champion before this one")
        return FAILED
    print(f"{name} version {version} is the champion again")
    return DONE


def _show(client: Client, name: str) -> None:
    from tune.models.champion import champion_of, versions_of
    from tune.tracking.schema import VersionTags

    champion = champion_of(client, name)
    table = Table("version", "", "test", "confirmed", "model", "decision", title=name, box=None)
    for version in versions_of(client, name):
        tags = VersionTags.of(version)
        mark = "champion" if champion and version.version == champion.version else ""
        scores = [
            "" if score is None else tags.objective.show(score)
            for score in (tags.test, tags.confirmed)
        ]
        runs = tags.ingredients
        model = f"soup of {len(runs)}" if len(runs) > 1 else " ".join(runs)
        table.add_row(str(version.version), mark, *scores, model, tags.decision)
    open_console().print(table)


if __name__ == "__main__":
    app()
