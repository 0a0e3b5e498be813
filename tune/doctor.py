"""`python -m tune.doctor`: what keeps a search from running here, or from running well."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tune.checks.finding import Finding
from tune.environment import prepare_environment

DONE, FAILED = 0, 1
"""Exit codes."""
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command()
def main(
    fix: Annotated[
        bool, typer.Option("--fix", help="Close the runs that searches which died left RUNNING.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Look for what keeps a search from running in this folder, and say how to mend it.

    Each line is ok, warn (a search runs, but not as well as it could) or fail (it would not
    run). Nothing is made or changed, but by `--fix`.

    Examples:
    `python -m tune.doctor`

    `python -m tune.doctor --fix`

    `python -m tune.doctor --json`

    Exit code: 0 nothing fails, 1 something does, 2 a mistake in the command.
    """
    prepare_environment()
    findings = []
    for finding in _examine(fix=fix):
        findings.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    sys.exit(FAILED if any(finding.state == "fail" for finding in findings) else DONE)


def _examine(*, fix: bool) -> Iterator[Finding]:
    """All that is looked at, in order, as it is found."""
    parts = (_installation, _machine, _cache, lambda: _kept(fix=fix))
    for part in parts:
        try:
            yield from part()
        except ImportError as error:  # the packages, above, say which and why
            yield Finding("import", "fail", str(error), "make install")


def _installation() -> Iterator[Finding]:
    from tune.checks.installation import check_packages, check_python

    yield check_python()
    yield check_packages()


def _machine() -> Iterator[Finding]:
    from tune.checks import machine, network

    with ThreadPoolExecutor(1) as thread:
        weights = thread.submit(network.check_weights)  # mostly waits for an answer
        yield machine.check_cpu()
        yield machine.check_memory()
        yield machine.check_gpus()
        yield machine.check_disk(Path())
        yield machine.check_shared_memory()
        yield network.check_ray()
        yield weights.result()


def _cache() -> Iterator[Finding]:
    from trainable.features.store import ArrayStore, default_root
    from tune.checks.databases import check_cache
    from tune.config.schema import CacheConfig

    yield check_cache(ArrayStore(default_root(), CacheConfig().max_bytes(on_gpu=False)))


def _kept(*, fix: bool) -> Iterator[Finding]:
    """What searches keep, here or where their configs say."""
    from tune.checks.databases import check_mlflow, check_optuna, is_there
    from tune.checks.searches import check_others, check_search, readable
    from tune.config.schema import SearchConfig
    from tune.study.folder import SearchHome, searches_in
    from tune.study.ledger import storage_url
    from tune.tracking.server import tracking_uri

    homes = [SearchHome(name) for name in searches_in()]
    searches = readable(homes)
    configs = [SearchConfig(), *(search.config for search in searches)]
    uris = dict.fromkeys(tracking_uri(config.tracking.uri) for config in configs)
    records = {uri: check_mlflow(uri) for uri in uris}
    yield from records.values()
    yield from map(check_optuna, dict.fromkeys(map(storage_url, configs)))
    sound = [uri for uri, found in records.items() if found.state == "ok" and is_there(uri)]
    for home in homes:
        yield check_search(home, sound, fix=fix)
    yield check_others(sound, [search.identity for search in searches])


def _show(finding: Finding) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(f"{finding.state:5s}", style=_COLOURS[finding.state], end=" ")
    console.print(f"{finding.name:14s} {finding.message}")
    if finding.fix is not None:
        console.print(f"{'':20s} -> {finding.fix}")


if __name__ == "__main__":
    app()
