from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.commands import DIGITS
from tests.helpers.studies import ledger_in_memory
from tune.base.errors import Halt
from tune.config.loading import load_config
from tune.engine.watchers import DropUnneeded, GiveUp, drop_former
from tune.strategy.choice import Choice
from tune.strategy.confirmation import Finalist, finalists
from tune.study.folder import SearchFolder
from tune.study.trial import Decision, Epoch, TrialLog, TrialState

BY_SCORE = Choice(load_config(DIGITS))


def ended(number: int, state: TrialState) -> TrialLog:
    return TrialLog(number, {}, 0, error="DivergedError: no", ended=1, state=state)


def test_a_search_whose_every_trial_fails_gives_up_and_says_why() -> None:
    watcher = GiveUp(trials=20)
    for number in range(4):
        watcher.changed(ended(number, TrialState.FAIL))
    with pytest.raises(Halt, match="first 5 trials failed, trial 4 for this reason: Diverged"):
        watcher.changed(ended(4, TrialState.FAIL))


def test_a_search_that_is_over_anyway_is_not_given_up() -> None:
    watcher = GiveUp(trials=5)
    for number in range(5):
        watcher.changed(ended(number, TrialState.FAIL))
    with pytest.raises(Halt):  # one that was asked for one more would have been
        fail(6, failures=5)


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED])
def test_one_trial_that_does_not_fail_keeps_hope_up(state: TrialState) -> None:
    watcher = GiveUp(trials=20)
    watcher.changed(ended(0, TrialState.FAIL))
    watcher.changed(ended(1, state))
    for number in range(2, 9):
        watcher.changed(ended(number, TrialState.FAIL))
    with pytest.raises(Halt):  # without that one it would not have
        fail(20, failures=8)


def fail(trials: int, failures: int) -> None:
    watcher = GiveUp(trials)
    for number in range(failures):
        watcher.changed(ended(number, TrialState.FAIL))


def test_a_trial_that_pauses_keeps_hope_up() -> None:
    paused = Epoch({"val_acc": 0.9, "val_loss": 1.0}, 0, Decision.PAUSE)
    watcher = GiveUp(trials=20)
    watcher.changed(TrialLog(0, {}, 0, [paused]))
    for number in range(1, 9):
        watcher.changed(ended(number, TrialState.FAIL))
    assert watcher._hope


@pytest.mark.parametrize(
    ("state", "decision", "left"),
    [
        (TrialState.COMPLETE, Decision.GO_ON, ["best.pt"]),
        (TrialState.PRUNED, Decision.STOP, ["best.pt"]),
        (TrialState.FAIL, Decision.GO_ON, []),
        (TrialState.RUNNING, Decision.GO_ON, ["best.pt", "last.pt"]),
        (TrialState.RUNNING, Decision.PAUSE, ["best.pt", "last.pt"]),
    ],
)
def test_of_a_trial_that_has_ended_what_may_be_asked_for_stays(
    state: TrialState, decision: Decision, left: list[str], tmp_path: Path
) -> None:
    home = SearchFolder("one", tmp_path)
    log = TrialLog(0, {}, 0, [Epoch({"val_acc": 0.5, "val_loss": 1.0}, 0, decision)], state=state)
    DropUnneeded(home, "trial", 1, BY_SCORE).changed(with_checkpoints(home, log))
    assert checkpoints(home) == [f"trial-000/{name}" for name in left]


def test_of_equals_that_were_stopped_the_one_stays_that_would_be_chosen(tmp_path: Path) -> None:
    home, watcher = (
        SearchFolder("one", tmp_path),
        DropUnneeded(SearchFolder("one", tmp_path), "trial", 1, BY_SCORE),
    )
    logs = [
        TrialLog(
            number,
            {},
            0,
            [Epoch({"val_acc": 0.5, "val_loss": 1.0}, 0)],
            ended=1,
            state=TrialState.PRUNED,
        )
        for number in range(2)
    ]
    for log in logs:
        watcher.changed(with_checkpoints(home, log))
    (chosen,) = finalists(logs, 1, timed=True)
    assert checkpoints(home) == [f"trial-{chosen.number:03}/best.pt"]


def with_checkpoints(home: SearchFolder, log: TrialLog) -> TrialLog:
    folder = home.trial(log.number)
    folder.mkdir(parents=True)
    for name in ("best.pt", "last.pt"):
        (folder / name).write_bytes(b"state")
    return log


def checkpoints(home: SearchFolder) -> list[str]:
    return sorted(str(path.relative_to(home.folder)) for path in home.folder.glob("*/*.pt"))


def scored(number: int, score: float, state: TrialState, *, cut_short: bool = False) -> TrialLog:
    epochs = [Epoch({"val_acc": score, "val_loss": 1.0}, 0)]
    return TrialLog(number, {}, 0, epochs, ended=1, state=state, cut_short=cut_short)


def test_of_the_completed_trials_the_best_ones_checkpoints_stay(tmp_path: Path) -> None:
    home = SearchFolder("one", tmp_path)
    watcher = DropUnneeded(home, "trial", 2, BY_SCORE)
    for number, score in enumerate((0.5, 0.9, 0.7, 0.6)):
        watcher.changed(with_checkpoints(home, scored(number, score, TrialState.COMPLETE)))
    assert checkpoints(home) == ["trial-001/best.pt", "trial-002/best.pt"]


def test_as_long_as_no_trial_has_completed_the_best_of_the_stopped_ones_stays(
    tmp_path: Path,
) -> None:
    home = SearchFolder("one", tmp_path)
    watcher = DropUnneeded(home, "trial", 2, BY_SCORE)
    for number, score in enumerate((0.5, 0.9, 0.7)):
        watcher.changed(with_checkpoints(home, scored(number, score, TrialState.PRUNED)))
    assert checkpoints(home) == ["trial-001/best.pt"]
    watcher.changed(with_checkpoints(home, scored(3, 0.1, TrialState.COMPLETE)))
    assert checkpoints(home) == ["trial-003/best.pt"]


def test_what_was_cut_short_can_go_on(tmp_path: Path) -> None:
    home = SearchFolder("one", tmp_path)
    watcher = DropUnneeded(home, "trial", 1, BY_SCORE)
    log = scored(0, 0.2, TrialState.PRUNED, cut_short=True)
    watcher.changed(with_checkpoints(home, log))
    watcher.changed(with_checkpoints(home, scored(1, 0.9, TrialState.COMPLETE)))
    assert checkpoints(home) == ["trial-000/best.pt", "trial-000/last.pt", "trial-001/best.pt"]


def test_trials_that_the_time_was_up_for_are_no_reason_to_give_up() -> None:
    watcher = GiveUp(trials=20)
    for number in range(8):
        log = ended(number, TrialState.FAIL)
        log.cut_short = True
        watcher.changed(log)
    assert watcher._failed == []


def test_runs_of_former_finalists_leave_no_checkpoint(tmp_path: Path) -> None:
    home = SearchFolder("one", tmp_path)
    confirmed = ledger_in_memory(load_config(DIGITS, []))
    for number in range(3):
        log = scored(number, 0.5, TrialState.COMPLETE)
        confirmed.trials[number] = with_checkpoints(home, log)
    winner = Finalist(scored(7, 0.9, TrialState.COMPLETE), [confirmed.trials[1]])
    drop_former(home, confirmed, [winner])
    assert [name for name in checkpoints(home) if "best" in name] == ["trial-001/best.pt"]


def test_the_checkpoint_of_the_cheapest_within_the_tolerance_of_all_that_ended_stays(
    tmp_path: Path,
) -> None:
    home = SearchFolder("one", tmp_path)
    given = ["strategy.cost=size", "strategy.tolerance=0.01", "model.weights=random"]
    config = load_config(DIGITS, [*given, "space.model.arch=[resnet18, resnet34, resnet50]"])
    costs = {"resnet18": 45.0, "resnet34": 85.0, "resnet50": 95.0}
    watcher = DropUnneeded(home, "trial", 1, Choice(config, costs))
    for number, (arch, score) in enumerate(
        [("resnet50", 0.95), ("resnet34", 0.945), ("resnet18", 0.936)]
    ):
        log = scored(number, score, TrialState.COMPLETE)
        log.params["model.arch"] = arch
        watcher.changed(with_checkpoints(home, log))
    # The first will be chosen if a trial comes that the second is not within the tolerance of.
    assert checkpoints(home) == ["trial-000/best.pt", "trial-001/best.pt"]
