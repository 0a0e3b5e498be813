"""Searches that stopped before their end, and the runs that they have left open in MLflow."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress

from tune.base.commands import as_typed, to_resume
from tune.base.errors import ConfigError, first_line
from tune.base.finding import Finding
from tune.study.folder import SearchFolder
from tune.study.search import Search
from tune.tracking.client import FAILURES
from tune.tracking.queries import interrupt, open_parents, open_runs
from tune.tracking.server import open_client, tracking_uri
from tune.tracking.tags import SearchTags


def readable(homes: Iterable[SearchFolder]) -> list[Search]:
    """The searches in these folders that can be read."""
    found = []
    for home in homes:
        with suppress(ConfigError):
            found.append(home.load())
    return found


def check_search(home: SearchFolder, usable: Collection[str | None], *, fix: bool) -> Finding:
    """Whether a search is finished, is running, or has stopped before its end.

    Args:
        home: The folder of a search that was started here.
        usable: The tracking URIs of the stores that can be read.
        fix: Whether to close the runs that it has left open, if no process is running it.
    """
    name = f"search {home.name}"
    try:
        search = home.load()
    except ConfigError as error:
        return Finding(name, "warn", str(error), f"restore that file, or: rm -r {home.folder}")
    uri = tracking_uri(search.config.tracking.uri)
    try:
        if home.is_running:
            return Finding(name, "ok", "is running")
        client = open_client(uri) if uri in usable else None
        left = [] if client is None else open_runs(client, search)
        if client is not None and left and fix:
            home.lock()  # until this process ends, so that no other resumes it meanwhile
            for run in left:
                interrupt(client, run)
    except ConfigError:  # another process has resumed it just now
        return Finding(name, "ok", "is running")
    except FAILURES as error:
        message = f"it cannot be read: {first_line(error)}"
        return Finding(name, "warn", message, "see mlflow, above")
    return _judge(search, len(left), closed=fix)


def _judge(search: Search, left: int, *, closed: bool) -> Finding:
    name, go_on = f"search {search.name}", to_resume(search.name)
    state = "finished" if search.concluded else "stopped before its end"
    if search.cut_short:
        state, go_on = (
            "finished, cut short by its time budget",
            to_resume(search.name, more_time=True),
        )
    if left and not closed:
        message = f"{state}, and {left} of its runs are still RUNNING"
        close = f"{as_typed('doctor --fix')} closes them as KILLED"
        return Finding(name, "warn", message, close if search.concluded else f"{go_on}; or {close}")
    goes_on = search.cut_short or not search.concluded
    done = f"; {left} of its runs were RUNNING, and are KILLED now" if left else ""
    images = f"; its images: {search.duplicates}" if search.duplicates else ""
    return Finding(name, "ok", f"{state}{done}{images}", go_on if goes_on else None)


def check_others(usable: Iterable[str | None], known: Collection[str]) -> Finding:
    """Whether local records hold running searches that were not started in this folder.

    They may run elsewhere, which cannot be known here, so they are left as they are.

    Args:
        usable: The tracking URIs of the stores that can be read.
        known: The identities of the searches that were started here.
    """
    local = [uri for uri in usable if uri is None or uri.startswith("sqlite:")]
    try:
        parents = [run for uri in local for run in open_parents(open_client(uri))]
    except FAILURES as error:
        message = f"they cannot be read: {first_line(error)}"
        return Finding("searches", "warn", message, "see mlflow, above")
    other = [run for run in parents if SearchTags.of(run).identity not in known]
    if not other:
        return Finding("searches", "ok", f"{len(known)} were started in this folder")
    names = ", ".join(str(run.info.run_name) for run in other)
    fix = "run this command in their folder; if that no longer exists: " + "; ".join(
        f"mlflow runs delete --run-id {run.info.run_id}" for run in other
    )
    return Finding("searches", "warn", f"RUNNING, but not started in this folder: {names}", fix)
