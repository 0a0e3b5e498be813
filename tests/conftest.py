"""What all tests share: hypothesis' profile, and which tests this machine can run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile(
    "repeatable", deadline=None, derandomize=True, database=None, max_examples=50
)
settings.load_profile("repeatable")

# The background job of a shell ignores SIGINT, and so would the searches that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests out of the user's store of activations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs data or a device that is not here, and say so."""
    reasons = {
        "realdata": None if os.environ.get("TUNE_REAL_DATA") else "TUNE_REAL_DATA is not set",
        "slow": None if os.environ.get("TUNE_SLOW") else "TUNE_SLOW is not set: it takes minutes",
        "gpu": None if _has_cuda(items) else "no CUDA device",
    }
    for item in items:
        for marker, reason in reasons.items():
            if reason is not None and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


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
