"""What all tests share, and which of them this machine can run."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.helpers.examples import examples

settings.register_profile(
    "repeatable", deadline=None, derandomize=True, database=None, max_examples=examples(50)
)
settings.load_profile("repeatable")

pytest_plugins = ["tests.helpers.fixtures"]


RECORD = Path(__file__).parents[1] / "mlruns"
MEMORY = Path("/dev/shm")
ROOM = 8 * 2**30
"""The bytes that all tests together may write at a time."""


def pytest_configure(config: pytest.Config) -> None:
    """Keep the tests' folders in memory where there is room: databases wait for a disk.

    pytest's own `--basetemp`, and TMPDIR, choose another place. Of several processes that run tests
    each computes in one thread: the threads of one would spin while they wait for those of another.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch is imported
    chosen = config.option.basetemp or {"TMPDIR", "PYTEST_DEBUG_TEMPROOT"} & os.environ.keys()
    if not chosen and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(MEMORY)


@pytest.fixture(scope="session", autouse=True)
def signals_are_heard() -> None:
    """Let the processes that tests start have the usual signal handlers.

    A shell's background job ignores SIGINT, one under `nohup` SIGHUP, and so would they: only
    what is ignored is inherited. A handler that does nothing keeps it from this process alone.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests out of the user's store of activations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def checkout_stays_clean() -> Iterator[None]:
    """Fail a test that records something in the checkout's own `mlruns/`."""
    before = set(RECORD.rglob("*"))
    yield
    new = set(RECORD.rglob("*")) - before
    assert not new, f"{min(new)} is new: run the test in a folder of its own"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, and skip what needs data or a device that is not here."""
    # Real searches first, so that the workers end together, and the files that look at the shared
    # search all on one worker: another would wait for it.
    shared = {item.path for item in items if "finished_search" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: (item.path not in shared, "e2e" not in item.path.parts))
    reasons = {
        "realdata": None if os.environ.get("TUNE_REAL_DATA") else "TUNE_REAL_DATA is not set",
        "slow": None if os.environ.get("TUNE_SLOW") else "TUNE_SLOW is not set: it is slow",
        "gpu": None if _has_cuda(items) else "no CUDA device",
    }
    for item in items:
        for marker, reason in reasons.items():
            if reason is not None and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    """Leave out of garbage collections what is loaded by now: libraries, which stay to the end."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let the end collect them again: of what is left, Triton's bindings print a hundred lines."""
    gc.unfreeze()


def _has_cuda(items: list[pytest.Item]) -> bool:
    """Whether CUDA is there; PyTorch is only loaded to find out if a test asks."""
    if not any(item.get_closest_marker("gpu") for item in items):
        return False
    import torch  # noqa: PLC0415

    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images and weights, for tests marked `realdata`."""
    return Path(os.environ["TUNE_REAL_DATA"]).resolve()
