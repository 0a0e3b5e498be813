from __future__ import annotations

import io
from pathlib import Path

import pytest
from optuna.trial import TrialState
from rich.console import Console

from tests.helpers.commands import DIGITS
from tests.helpers.studies import ledger_of, reported
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.engine.progress import Progress
from tune.study.ledger import Ledger
from tune.study.trial import Decision


@pytest.fixture
def config() -> SearchConfig:
    return load_config(DIGITS, ["budget.num_samples=4"])


@pytest.fixture
def ledger(config: SearchConfig, tmp_path: Path) -> Ledger:
    return ledger_of(config, f"sqlite:///{tmp_path / 'optuna.db'}")


def follow(progress: Progress, ledger: Ledger) -> None:
    """A complete, a pruned, a failed and a running trial."""
    ends = {0: TrialState.COMPLETE, 1: TrialState.PRUNED, 2: TrialState.FAIL}
    for number, accuracy in enumerate([0.9, 0.4, 0.2, 0.7]):
        progress.changed(ledger.begin())
        for epoch in (1, 2):
            ledger.add_epoch(number, epoch, reported(accuracy), Decision.GO_ON)
            progress.changed(ledger.trials[number])
        if number in ends:
            error = "MemoryError: no room" if ends[number] is TrialState.FAIL else None
            ledger.end(number, ends[number], error)
            progress.changed(ledger.trials[number])


def test_without_a_terminal_each_end_is_a_plain_line(ledger: Ledger) -> None:
    stream = io.StringIO()
    with Progress(ledger, Console(file=stream, width=400)) as progress:
        follow(progress, ledger)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert "trial   0 complete val_acc=90.00% epoch 2 optim.lr=0.003" in lines[0]
    assert "MemoryError: no room" in lines[2]
    assert "3/4 ended (1 complete, 1 pruned, 1 failed), 0 running, best val_acc 90.00%" in lines[2]


def test_on_a_terminal_there_is_a_table_with_the_running_trials_first(
    ledger: Ledger,
) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=160, height=40, force_terminal=True, color_system=None)
    with Progress(ledger, console) as progress:
        follow(progress, ledger)
    screen = stream.getvalue()
    last = screen[screen.rindex("trial") :].splitlines()
    assert "optim.lr" in last[0]
    assert [line.split()[:2] for line in last[1:4]] == [
        ["3", "running"],
        ["0", "complete"],
        ["1", "pruned"],
    ]
    assert "3/4 ended (1 complete, 1 pruned, 1 failed), 1 running" in last[5]


def test_a_key_that_a_trial_does_not_have_is_an_empty_cell(tmp_path: Path) -> None:
    when = "{values: [0.65], when: {model.unfreeze_depth: {ge: 3}}}"
    config = load_config(DIGITS, [f"space.optim={{layer_decay: {when}, l1: [0.5]}}"])
    ledger = ledger_of(config, f"sqlite:///{tmp_path / 'optuna.db'}")
    with Progress(ledger, Console(file=io.StringIO())) as progress:
        cells = progress._cells(ledger.begin())
    keys = list(config.space)
    assert cells[6 + keys.index("optim.layer_decay")] == ""
    assert cells[6 + keys.index("optim.l1")] == "0.5"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "? remaining"), (54.0, "about 0:54 remaining"), (5400.0, "about 90:00 remaining")],
)
def test_the_time_left_is_shown_once_it_is_known(
    seconds: float | None, shown: str, ledger: Ledger
) -> None:
    stream, now = io.StringIO(), iter([0.0])
    console = Console(file=stream, width=400)
    with Progress(ledger, console, lambda: seconds, lambda: next(now, 6.0)) as progress:
        follow(progress, ledger)
    assert stream.getvalue().splitlines()[-1].endswith(f"0:06 elapsed, {shown}")
