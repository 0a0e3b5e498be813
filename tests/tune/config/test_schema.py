"""What a search's config says to others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainable.runtime import Runtime
from tune.config.schema import SearchConfig


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({}, Runtime(threads=1, cache_bytes=20 * 10**9)),
        ({"cache": {"enabled": False}}, Runtime(threads=1, image_bytes=0)),
        (
            {"cache": {"enabled": True, "max_gb": 1, "images_gb": 2}},
            Runtime(threads=1, cache_bytes=10**9, gpu_cache_bytes=10**9, image_bytes=2 * 10**9),
        ),
        (
            {"resources": {"cpu": 2.5, "gpu": 0}},
            Runtime(threads=2, use_gpu=False, cache_bytes=20 * 10**9),
        ),
    ],
)
def test_a_trials_runtime_is_what_its_search_asks_for(
    sections: dict[str, Any], expected: Runtime
) -> None:
    assert SearchConfig.model_validate(sections).runtime() == expected


def test_a_trials_cache_is_the_same_folder_in_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runtime = SearchConfig.model_validate({"cache": {"root": "cache"}}).runtime(0.25)
    assert (runtime.cache_root, runtime.memory_fraction) == (str(tmp_path / "cache"), 0.25)
