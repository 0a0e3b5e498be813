"""Whether the cache can be written, and how full it is."""

from __future__ import annotations

import shlex
import shutil
from typing import Final

from trainable.store.arrays import ArrayStore, default_root
from tune.base.commands import as_typed
from tune.base.finding import Finding, gigabytes

_LEAST_FREE: Final = 10**9
"""Bytes of free disk below which the cache holds little."""


def check_cache(store: ArrayStore) -> Finding:
    """The cache's size, against its cap and its disk."""
    root, entries = store.root, store.entries()
    images = sum(entry.size for entry in entries if entry.kind != store.kind)
    size, cap = sum(entry.size for entry in entries) - images, store.max_bytes
    folder = next(each for each in (root, *root.resolve().parents) if each.exists())
    if not folder.is_dir():
        fix = f"remove that file, or name another folder by TUNE_CACHE or cache.root ({root})"
        return Finding("cache", "warn", f"{folder} is no folder: nothing can be cached", fix)
    free = shutil.disk_usage(folder).free
    used = f"{len(entries)} entries, {gigabytes(size)} of {gigabytes(cap)}"
    decoded = f" and {gigabytes(images)} of decoded images" if images else ""
    message = f"{used}{decoded} in {root}, {gigabytes(free)} free"
    if size > cap:
        where = "" if root == default_root() else f" --root {shlex.quote(str(root))}"
        fix = f"{as_typed(f'cache --clear{where}')}, or cache.max_gb"
        return Finding("cache", "warn", message, fix)
    if free < _LEAST_FREE:
        return Finding("cache", "warn", message, "free disk, or put it elsewhere: TUNE_CACHE")
    return Finding("cache", "ok", message)
