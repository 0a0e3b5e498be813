"""The machines of a cluster: what each has and sees, and what would stop a trial there."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import fsspec

from trainable.config import DataConfig
from trainable.data.datasets import load_dataset
from trainable.files.places import why_not_writable
from trainable.files.remote import below, place_at
from trainable.store.arrays import default_root
from tune.base.errors import ConfigError, first_line
from tune.base.finding import Finding
from tune.base.passwords import masked
from tune.config.schema import SearchConfig
from tune.study.lookup import absolute
from tune.study.shared import given_storage
from tune.tracking.server import check_tracking, tracking_uri

PACKAGES: Final = ("torch", "torchvision", "ray", "numpy", "pydantic", "fsspec", "s3fs")
"""What a trial is made of, and so is to be alike."""
_PATIENCE: Final = 10.0
ABSENT: Final = "-"


@dataclass(frozen=True)
class Question:
    """What is asked of each node.

    Attributes:
        storage: Where checkpoints are to lie, if that is named.
        tracking: The address of MLflow's server, if there is one.
        data: The images of a search.
        cache: The folder of the store, if a config names it.
    """

    storage: str | None
    tracking: str | None
    data: DataConfig
    cache: Path | None = None


@dataclass(frozen=True)
class NodeFacts:
    """What a node has answered. Of what it cannot do, the reason in a line.

    Attributes:
        host: Its own name.
        versions: Of Python and of each package; `-` where it is not installed.
        store: The folder of its store.
        store_free: Bytes that are free there.
        store_error: Why nothing can be written there.
        disk_free: Bytes that are free where Ray writes.
        storage_seconds: How long a small file took to be written and read back.
        storage_error: Why that failed.
        tracking_error: Why MLflow's server cannot be used.
        data_error: Why the images are not there.
    """

    host: str
    versions: Mapping[str, str]
    store: str
    store_free: int
    store_error: str | None
    disk_free: int
    storage_seconds: float | None
    storage_error: str | None
    tracking_error: str | None
    data_error: str | None


def question_of(config: SearchConfig) -> Question:
    """What is asked of each node before a search with this config."""
    storage = absolute(given_storage(config.tracking.storage))
    uri = tracking_uri(config.tracking.uri)
    return Question(storage, uri, config.data, config.cache.root)


def describe(question: Question) -> NodeFacts:
    """The facts of the machine that this runs on."""
    store = question.cache or default_root()
    seconds, storage_error = _tried(question.storage)
    return NodeFacts(
        host=platform.node(),
        versions=versions(),
        store=str(store),
        store_free=_free(store),
        store_error=why_not_writable(store / "entry"),
        disk_free=_free(Path(os.environ.get("RAY_TMPDIR", tempfile.gettempdir()))),
        storage_seconds=seconds,
        storage_error=storage_error,
        tracking_error=_why_untracked(question.tracking),
        data_error=_why_no_data(question.data),
    )


def now() -> float:
    """The seconds since 1970 by this machine's clock."""
    return time.time()


def versions() -> dict[str, str]:
    """The versions of what a trial is made of."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ABSENT
    return found


def skew(there: float, before: float, after: float) -> float:
    """By how many seconds at least a clock is wrong that was read between two readings of this."""
    return max(0.0, there - after, before - there)


def _tried(storage: str | None) -> tuple[float | None, str | None]:
    if storage is None:
        return None, None
    place, name = (
        place_at(below(storage, "nodes"), patience=_PATIENCE),
        f"doctor-{uuid.uuid4().hex}",
    )
    start = time.perf_counter()
    try:
        place.write(name, b"there")
        content = place.read(name)
        seconds = time.perf_counter() - start
        place.delete(name)
    except (OSError, ValueError, ImportError) as error:
        return None, masked(first_line(error), storage)
    return seconds, None if content == b"there" else "what was written there is read otherwise"


def _why_untracked(uri: str | None) -> str | None:
    if uri is None or not uri.startswith(("http://", "https://")):
        return None
    try:
        check_tracking(uri)
    except ConfigError as error:
        return str(error)
    return None


def _why_no_data(config: DataConfig) -> str | None:
    root = config.root
    if root is None:
        return None
    try:
        files, path = fsspec.core.url_to_fs(str(root))
        return None if files.exists(path) else f"data.root={root}: it is not there"
    except Exception as error:  # noqa: BLE001 - each file system has errors of its own
        return f"data.root={root} cannot be reached: {first_line(error)}"


def own_images(config: SearchConfig) -> tuple[str | None, list[Finding]]:
    """The fingerprint of this machine's images, and what is wrong where it cannot be had."""
    try:
        return load_dataset(config.data, config.cache.of_images).fingerprint, []
    except (ValueError, OSError) as error:
        message = f"the driver cannot read them: {first_line(error)}"
        return None, [Finding("images", "fail", message, "put the same images on this machine")]


def _free(folder: Path) -> int:
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    return shutil.disk_usage(there).free
