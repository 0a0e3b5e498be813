from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.commands import DIGITS, SMALL
from tests.helpers.doors import invoke


@pytest.mark.slow
def test_a_trial_fills_the_cache_and_the_command_lists_and_clears_it(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    words = ["--config", str(DIGITS), *SMALL, f"cache.root={root}"]
    cold = invoke("tune.debug", *words, cwd=tmp_path)
    warm = invoke("tune.debug", *words, cwd=tmp_path)
    off = invoke("tune.debug", *words, "cache.enabled=false", cwd=tmp_path)
    assert without_times(cold.stdout) == without_times(warm.stdout) == without_times(off.stdout)

    listed = invoke("tune.cache", "--root", str(root), cwd=tmp_path)
    assert listed.stdout.splitlines()[-1].startswith(f"{root}: 2 entries, ")
    assert [line.split()[5:7] for line in listed.stdout.splitlines()[1:3]] == [
        ["val", "none"],
        ["train", "none"],
    ]
    cleared = invoke("tune.cache", "--root", str(root), "--clear", cwd=tmp_path)
    assert cleared.stdout == f"{root}: 2 entries deleted\n"


def test_a_folder_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    done = invoke("tune.cache", "--root", str(tmp_path / "missing"), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"tune.cache: --root {tmp_path / 'missing'}: no such folder\n"


def without_times(output: str) -> list[str]:
    lines = output.splitlines()
    assert len(lines) > 3
    return [line.partition("epoch_seconds")[0] for line in lines]
