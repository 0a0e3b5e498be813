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
        (["--rollback"], 2, "--rollback needs the name of a model"),
    ],
)
def test_a_folder_without_a_record_is_left_empty(
    words: list[str], code: int, said: str, tmp_path: Path
) -> None:
    done = invoke("tune.registry", *words, cwd=tmp_path)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
