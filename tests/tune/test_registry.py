"""`tune.registry` where there is nothing to show; `test_promotion.py` tries it on versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.doors import invoke


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 0, "no model is registered here: python -m tune.search makes one"),
        (["digits"], 2, "digits: no such model is registered; none is: run python -m tune.search"),
        (["digits", "--rollback"], 2, "digits: no such model is registered"),
        (["--rollback"], 1, "no model is registered here: python -m tune.search makes one"),
        (["--promote=1"], 1, "no model is registered here: python -m tune.search makes one"),
        (["--promote=0"], 2, "--promote 0: input should be greater than or equal to 1"),
        (["--promote=1", "--rollback"], 2, "--rollback and --promote: give one of them"),
    ],
)
def test_a_folder_without_a_record_is_left_empty(
    words: list[str], code: int, said: str, tmp_path: Path
) -> None:
    done = invoke("tune.registry", *words, cwd=tmp_path)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
