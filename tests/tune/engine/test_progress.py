from __future__ import annotations

import io
import sys
from pathlib import Path
from types import ModuleType

import pytest
from optuna.trial import TrialState
from rich.console import Console

from tests.helpers.commands import DIGITS
from tests.helpers.studies import ledger_of, reported
from tune.cli import open_console
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


def screen_of(ledger: Ledger, width: int, height: int = 24) -> list[str]:
    """The lines of the live table as it is now."""
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, height=height, force_terminal=True, color_system=None
    )
    console.print(Progress(ledger, console)._render())
    return stream.getvalue().splitlines()


def table_of(screen: list[str]) -> tuple[list[str], list[list[str]]]:
    """The words of the headings' last line, and those of each row."""
    head = next(place for place, line in enumerate(screen) if line.startswith("trial"))
    rows = [line.split() for line in screen[head + 1 :] if line[:5].strip().isdigit()]
    return screen[head].split(), rows


def test_without_a_terminal_each_end_is_a_plain_line(ledger: Ledger) -> None:
    stream = io.StringIO()
    with Progress(ledger, Console(file=stream, width=400)) as progress:
        follow(progress, ledger)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert "trial   0 complete val_acc=90.00% epoch 2 optim.lr=0.003" in lines[0]
    assert "MemoryError: no room" in lines[2]
    assert "3/4 ended (1 complete, 1 pruned, 1 failed), 0 running, best val_acc 90.00%" in lines[2]


def test_in_a_notebook_each_end_is_displayed_as_soon_as_it_comes(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    # IPython is no dependency: this is what Rich calls of it.
    display = ModuleType("IPython.display")
    vars(display)["display"] = lambda what: shown.append(what.text)
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    with Progress(ledger, open_console(force_jupyter=True)) as progress:
        assert shown == []
        follow(progress, ledger)
    assert [line.split()[:3] for line in shown] == [
        ["trial", "0", "complete"],
        ["trial", "1", "pruned"],
        ["trial", "2", "fail"],
    ]
    assert "3/4 ended (1 complete, 1 pruned, 1 failed), 0 running" in shown[2]


def test_on_a_terminal_there_is_a_table_with_the_running_trials_first(
    ledger: Ledger,
) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=160, height=40, force_terminal=True, color_system=None)
    with Progress(ledger, console) as progress:
        follow(progress, ledger)
    screen = stream.getvalue()
    last = screen[screen.rindex("trial") :].splitlines()
    assert last[0].split()[6:] == ["lr", "unfreeze_depth", "policy"]
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
    trial = ledger.begin()
    heads, (row,) = table_of(screen_of(ledger, 140))
    assert heads[6:] == ["lr", "layer_decay", "l1", "unfreeze_depth", "policy"]
    assert len(row) == len(heads) - (trial.params.get("optim.layer_decay") is None)
    assert trial.params["model.unfreeze_depth"] < 3, "so that it has no layer_decay"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "? remaining"),
        (54.0, "about 0:54 remaining"),
        (3599.0, "about 59:59 remaining"),
        (5400.0, "about 1:30:00 remaining"),
        (172_800.0 + 61, "about 2 d 0:01:01 remaining"),
    ],
)
def test_the_time_left_is_shown_once_it_is_known(
    seconds: float | None, shown: str, ledger: Ledger
) -> None:
    stream, now = io.StringIO(), iter([0.0])
    console = Console(file=stream, width=400)
    with Progress(
        ledger, console, lambda: seconds, lambda: 6.0, lambda: next(now, 6.0)
    ) as progress:
        follow(progress, ledger)
    assert stream.getvalue().splitlines()[-1].endswith(f"0:06 elapsed, {shown}")


MORE = (
    "space.optim={weight_decay: {low: 1.0e-5, high: 0.1, log: true}, label_smoothing: [0.0, 0.1], "
    "name: [sgd, adamw], layer_decay: {low: 0.5, high: 1}}",
    "space.schedule.name=[one_cycle, cosine]",
    "space.train.batch_size=[32, 64]",
    "space.augment.mixup={low: 0, high: 1}",
)


@pytest.mark.parametrize("words", [(), MORE], ids=["3 keys", "10 keys"])
@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_table_fits_the_terminal_with_headings_that_differ(
    words: tuple[str, ...], width: int, tmp_path: Path
) -> None:
    config = load_config(DIGITS, words)
    ledger = ledger_of(config, f"sqlite:///{tmp_path / 'optuna.db'}")
    follow(Progress(ledger, Console(file=io.StringIO())), ledger)
    screen = screen_of(ledger, width)
    assert max(map(len, screen)) <= width
    heads, rows = table_of(screen)
    assert heads[:3] == ["trial", "state", "epoch"]
    assert len(rows) == 4
    assert all(len(row) == len(heads) for row in rows), "no cell is empty"
    assert "…" not in heads
    keys = [head for head in heads[heads.index("best") + 1 :] if head != "train_acc"]
    assert keys[0] == "lr"
    left_out = len(config.space) - len(keys)
    assert bool(left_out) is (len(config.space) == 10 and width < 140)
    told = [line for line in screen if line.startswith(f"no room for {left_out} of 10 keys: ")]
    assert len(told) == bool(left_out)
    if width == 140:
        assert "…" not in "".join(screen)


def test_the_best_score_is_shown_as_soon_as_a_trial_has_one(ledger: Ledger) -> None:
    ledger.begin()
    assert "best val_acc -" in screen_of(ledger, 160)[-1]
    ledger.add_epoch(0, 1, reported(0.7), Decision.GO_ON)
    screen = screen_of(ledger, 160)
    heads, (row,) = table_of(screen)
    assert row[heads.index("best")] == "70.00%"
    assert "best val_acc 70.00%" in screen[-1]
    ledger.end(0, TrialState.FAIL, "DivergedError: no")
    assert "best val_acc -" in screen_of(ledger, 160)[-1]


def test_the_table_and_what_is_below_it_fit_a_low_terminal(ledger: Ledger) -> None:
    for _ in range(20):
        ledger.begin()
    assert len(screen_of(ledger, 80, height=12)) <= 12


def test_no_score_is_shown_of_a_refit_which_has_trained_on_the_validation_images(
    ledger: Ledger,
) -> None:
    ledger.kind = "refit"
    stream = io.StringIO()
    with Progress(ledger, Console(file=stream, width=400)) as progress:
        follow(progress, ledger)
    (line, *_), screen = stream.getvalue().splitlines(), "\n".join(screen_of(ledger, 160))
    assert "refit   0 complete epoch 2 optim.lr=0.003" in line
    assert table_of(screen.splitlines())[0][:4] == ["trial", "state", "epoch", "train_acc"]
    for shown in (line, screen):
        assert "val_acc" not in shown
        assert "best" not in shown
