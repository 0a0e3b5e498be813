"""Everything that the doctor checks, in the order in which it is printed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tune.base.finding import Finding
from tune.checks.judged import JudgedConfig, check_config
from tune.config.schema import SearchConfig


def examine(judged: JudgedConfig, *, fix: bool) -> Iterator[Finding]:
    """Check all there is, and yield each finding as soon as it is known.

    Args:
        judged: What a search would be started with.
        fix: Whether to close the runs that searches left open.
    """
    yield check_config(judged)
    for check in (
        _installation,
        lambda: _machine(judged),
        lambda: _cache(judged.config),
        lambda: _records(judged.config, fix=fix),
    ):
        try:
            yield from check()
        except ImportError as error:  # the findings on packages, above, say which and why
            yield Finding("import", "fail", str(error), "make install")


def _installation() -> Iterator[Finding]:
    from tune.checks.installation import check_packages, check_python, check_system

    yield check_system()
    yield check_python()
    yield check_packages()


def _machine(judged: JudgedConfig) -> Iterator[Finding]:
    from tune.checks import machine, network

    with ThreadPoolExecutor(1) as thread:
        model = judged.config.model if judged.is_given else None
        weights = thread.submit(network.check_weights, model)  # mostly waits for an answer
        yield machine.check_cpu()
        yield machine.check_memory()
        yield machine.check_gpus()
        yield machine.check_disk(Path())
        yield machine.check_shared_memory()
        yield network.check_ray()
        yield weights.result()


def _cache(config: SearchConfig) -> Iterator[Finding]:
    from trainable.store.arrays import ArrayStore, default_root
    from tune.checks.cache import check_cache

    cache = config.cache
    yield check_cache(ArrayStore(cache.root or default_root(), cache.max_bytes(on_gpu=False)))


def _records(judged: SearchConfig, *, fix: bool) -> Iterator[Finding]:
    """Checks what searches have stored, here or where their configs say."""
    from tune.checks.databases import check_mlflow, check_optuna, exists
    from tune.checks.searches import check_others, check_search, readable
    from tune.study.lookup import find_folder
    from tune.study.searches import searches_in
    from tune.study.storage import storage_url
    from tune.tracking.server import tracking_uri

    homes = [find_folder(name) for name in searches_in()]
    searches = readable(homes)
    configs = [judged, *(search.config for search in searches)]
    uris = dict.fromkeys(tracking_uri(config.tracking.uri) for config in configs)
    records = {uri: check_mlflow(uri) for uri in uris}
    yield from records.values()
    yield from map(check_optuna, dict.fromkeys(map(storage_url, configs)))
    usable = [uri for uri, found in records.items() if found.state == "ok" and exists(uri)]
    for home in homes:
        yield check_search(home, usable, fix=fix)
    yield check_others(usable, [search.identity for search in searches])
