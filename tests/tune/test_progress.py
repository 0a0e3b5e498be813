from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from tests.tune.conftest import DIGITS
from tune.config import SearchConfig
from tune.loading import load_config
from tune.progress import Progress


@pytest.fixture
def config() -> SearchConfig:
    return load_config(DIGITS, ["budget.num_samples=4"])


def fake_trial(
    number: int, config: SearchConfig, result: dict[str, Any] | None, error_file: Path | None = None
) -> Any:
    """What a callback reads of a Ray trial."""
    return SimpleNamespace(
        trial_id=str(number),
        config={"number": number, "trial": config.base.model_dump(mode="json")},
        last_result=result,
        error_file=error_file,
    )


def follow(progress: Progress, config: SearchConfig, folder: Path) -> None:
    """A complete, a pruned, a failed and a running trial."""
    broken = folder / "error.txt"
    broken.write_text("Failure # 1\nTraceback\nMemoryError: no room\n")
    for number, accuracy in enumerate([0.9, 0.4, 0.2, 0.7]):
        result = {"epoch": 2, "val_acc": accuracy, "train_acc": accuracy}
        trial = fake_trial(number, config, {**result, "finished": number == 0}, broken)
        progress.on_trial_start(0, [], trial)
        progress.on_trial_result(0, [], trial, result)
        if number < 2:
            progress.on_trial_complete(0, [], trial)
        if number == 2:
            progress.on_trial_error(0, [], trial)


def test_without_a_terminal_each_end_is_a_plain_line(config: SearchConfig, tmp_path: Path) -> None:
    stream = io.StringIO()
    with Progress(config, Console(file=stream, width=400)) as progress:
        follow(progress, config, tmp_path)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert "trial   0 complete val_acc=90.00% epoch 2 optim.lr=0.003" in lines[0]
    assert "MemoryError: no room" in lines[2]
    assert "3/4 ended (1 done, 1 pruned, 1 failed), 0 running, best val_acc 90.00%" in lines[2]


def test_on_a_terminal_there_is_a_table_with_the_running_trials_first(
    config: SearchConfig, tmp_path: Path
) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=160, height=40, force_terminal=True, color_system=None)
    with Progress(config, console) as progress:
        follow(progress, config, tmp_path)
    screen = stream.getvalue()
    last = screen[screen.rindex("trial") :].splitlines()
    assert "optim.lr" in last[0]
    assert [line.split()[:2] for line in last[1:4]] == [
        ["3", "running"],
        ["0", "done"],
        ["1", "pruned"],
    ]
    assert "3/4 ended (1 done, 1 pruned, 1 failed), 1 running" in last[5]


def test_the_time_left_never_exceeds_the_budget(tmp_path: Path) -> None:
    config = load_config(DIGITS, ["budget.num_samples=1000", "budget.time=60s"])
    stream = io.StringIO()
    now = iter([0.0])
    with Progress(config, Console(file=stream, width=400), lambda: next(now, 6.0)) as progress:
        follow(progress, config, tmp_path)
    assert "0:06 gone, about 0:54 left" in stream.getvalue().splitlines()[-1]
