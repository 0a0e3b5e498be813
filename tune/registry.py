"""`python -m tune.registry`: which version is the champion, and why; and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tune.base.commands import as_typed
from tune.base.errors import DONE, FAILED, ConfigError
from tune.cli import Door, UriOption, open_console
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
    promote: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="VERSION",
            help="Make this version the champion, whatever the comparison with the champion has "
            "said; that is noted on it.",
            show_default=False,
        ),
    ] = None,
    uri: UriOption = None,
) -> int:
    """Show the versions of registered models, and why each is the champion or is not.

    Where there is one model alone, --rollback and --promote need no name.

    Examples:
    `python -m tune.registry`

    `python -m tune.registry resnet18-digits --rollback`

    `python -m tune.registry resnet18-digits --promote 3`

    Exit code: 0 done, 1 nothing to roll back to or a version cannot be loaded, 2 a mistake in the
    command.
    """
    if rollback and promote is not None:
        raise ConfigError("--rollback and --promote: give one of them")
    check_tracking(tracking_uri(uri))
    client = open_client(uri) if is_there(uri) else None  # which would make a database
    known = [] if client is None else _names(client)
    if name is not None and name not in known:
        raise ConfigError(f"{name}: no such model is registered; {_others(name, known)}")
    if client is None or not known:
        print(f"no model is registered here: {as_typed('search')} makes one")
        return FAILED if rollback or promote is not None else DONE
    if rollback:
        return _roll_back(client, name or _only(known, "--rollback"))
    if promote is not None:
        return _promote(client, name or _only(known, "--promote"), promote)
    from tune.reporting.versions import show_versions

    console = open_console()
    for each in [name] if name else known:
        show_versions(client, each, console)
    return DONE


def _names(client: Client) -> list[str]:
    from tune.tracking.queries import find_models

    return sorted(model.name for model in find_models(client))


def _others(name: str, known: Sequence[str]) -> str:
    from tune.models.lookup import nearest_names

    return nearest_names(name, known) if known else f"none is: run {as_typed('search')}"


def _only(known: Sequence[str], option: str) -> str:
    if len(known) > 1:
        raise ConfigError(
            f"{option}: several models are registered; name one of {', '.join(known)}"
        )
    return known[0]


def _roll_back(client: Client, name: str) -> int:
    from tune.models.champion import roll_back

    try:
        version = roll_back(client, name)
    except ConfigError as error:
        app.complain(error)
        return FAILED
    if version is None:
        app.complain(f"{name} has had no champion before this one")
        return FAILED
    print(f"{name} version {version} is the champion again{_tested(client, name, version)}")
    return DONE


def _promote(client: Client, name: str, number: int) -> int:
    from tune.models.champion import promote_by_hand, versions_of

    versions = {int(version.version): version for version in versions_of(client, name)}
    if number not in versions:
        there = ", ".join(map(str, sorted(versions))) or "none"
        raise ConfigError(f"--promote {number}: {name} has no such version; there is {there}")
    try:
        before = promote_by_hand(client, versions[number])
    except ConfigError as error:
        app.complain(error)
        return FAILED
    replaced = f", and no longer version {before.version}" if before else ""
    tested = _tested(client, name, number)
    print(f"{name} version {number} is the champion{replaced}{tested}")
    return DONE


def _tested(client: Client, name: str, number: int) -> str:
    """What a version reached on the test images, to be added to a line; empty if not known."""
    from tune.tracking.tags import VersionTags

    tested = VersionTags.of(client.get_model_version(name, str(number))).tested
    return f"; {tested}" if tested else ""


if __name__ == "__main__":
    app()
