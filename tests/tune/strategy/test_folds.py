from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from optuna.trial import TrialState

from tests.helpers.commands import DIGITS
from tests.helpers.results import add_trial
from tests.helpers.studies import search_of
from tune.base.errors import ConfigError
from tune.config.loading import load_config
from tune.strategy.confirmation import Finalist, losers_stopped, open_confirmation, ranked
from tune.strategy.folds import fold_names, folds_of, has_lost
from tune.strategy.refit import (
    chosen_epochs,
    decided,
    is_refitted,
    open_refit,
    refit_of,
    refit_score,
    why_unfitted,
)
from tune.strategy.scheduling import next_trial
from tune.study.ledger import Ledger, Ledgers
from tune.study.search import Search
from tune.study.trial import Decision, Epoch, TrialLog

WORDS = ("augment.policy=none", "optim.weight_decay=0", "confirm.top_k=2", "confirm.folds=5")


def trial(
    number: int, scores: Sequence[float], of: int | None = None, fold: str | None = None
) -> TrialLog:
    epochs = [Epoch({"val_acc": score, "val_loss": 1 - score}, 0) for score in scores]
    params = {
        "optim.lr": 1e-3 * (1 + (number if of is None else of)),
        "model.unfreeze_depth": 1,
        **({} if fold is None else {"data.fold": fold}),
    }
    return TrialLog(number, params, 0, epochs, ended=1, state=TrialState.COMPLETE)


def on_folds(of: int, scores: Sequence[float], first: int = 0) -> list[TrialLog]:
    """A finalist's runs, one epoch each."""
    names = fold_names(5)[: len(scores)]
    pairs = enumerate(zip(names, scores, strict=True), first)
    return [trial(number, [score], of, name) for number, (name, score) in pairs]


def search(tmp_path: Path, *words: str) -> Search:
    return search_of(load_config(DIGITS, [*WORDS, *words]), f"sqlite:///{tmp_path / 'optuna.db'}")


@pytest.mark.parametrize(
    ("words", "validated", "folds"),
    [
        ((), 10, 0),
        (("confirm.folds=auto",), 249, 5),
        (("confirm.folds=auto",), 250, 0),
        (("confirm.folds=10",), 9999, 10),
        (("confirm.folds=0",), 10, 0),
        (("confirm.folds=auto", "confirm.top_k=0"), 10, 0),
        (("confirm.folds=auto", "data.fold=1/5"), 10, 0),
    ],
)
def test_few_validation_images_are_made_folds_of(
    words: tuple[str, ...], validated: int, folds: int
) -> None:
    assert folds_of(load_config(DIGITS, words), validated) == folds


def test_a_single_fold_and_folds_of_a_fold_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"confirm\.folds=1: .*at least 2, or auto"):
        load_config(DIGITS, ["confirm.folds=1"])
    with pytest.raises(ConfigError, match=r"folds=5 and data\.fold=1/5 exclude each other"):
        load_config(DIGITS, ["confirm.folds=5", "data.fold=1/5"])
    with pytest.raises(ConfigError, match=r"refit\.enabled=true and data\.fold=1/5 exclude each"):
        load_config(DIGITS, ["refit.enabled=true", "data.fold=1/5"])
    load_config(DIGITS, ["confirm.folds=auto", "refit.enabled=auto", "data.fold=1/5"])


def test_all_finalists_run_on_a_fold_before_the_next(tmp_path: Path) -> None:
    ledger = open_confirmation(search(tmp_path), [trial(7, [0.9]), trial(3, [0.8])])
    assert ledger is not None
    assert ledger.asked == 10
    found = [ledger.config.trial(ledger.begin().params) for _ in range(4)]
    assert [(one.optim.lr, one.data.fold) for one in found] == [
        (8e-3, "1/5"), (4e-3, "1/5"), (8e-3, "2/5"), (4e-3, "2/5"),
    ]  # fmt: skip


def test_more_than_five_are_folds_of_further_divisions() -> None:
    assert fold_names(6) == ("1/5", "2/5", "3/5", "4/5", "5/5", "1/5r2")
    assert fold_names(2) == ("1/2", "2/2")


def test_the_winner_has_the_best_mean_over_folds() -> None:
    chosen = [trial(7, [0.95]), trial(3, [0.90])]
    runs = [*on_folds(7, [0.7, 0.9, 0.8]), *on_folds(3, [0.8, 0.9, 0.9], first=3)]
    first, second = ranked(chosen, runs)
    assert (first.trial.number, second.trial.number) == (3, 7)
    assert first.mean == pytest.approx(0.8667, abs=1e-4)
    assert first.over == "3 folds"
    assert first.best_run is None, "its runs are judged by other images each"


def test_means_over_other_folds_are_not_compared() -> None:
    """The time was up when one had run on the easy fold alone."""
    chosen = [trial(7, [0.95]), trial(3, [0.90])]
    runs = [*on_folds(7, [0.90, 0.5, 0.5]), *on_folds(3, [0.89], first=3)]
    assert [finalist.trial.number for finalist in ranked(chosen, runs)] == [7, 3]


def scores_of(values: Sequence[float]) -> dict[str, float]:
    return dict(zip(fold_names(5), values, strict=False))


def test_a_clear_loser_is_told_by_three_folds_and_no_other() -> None:
    good = scores_of([0.90, 0.92, 0.88])
    assert has_lost(scores_of([0.80, 0.81, 0.79]), [good], 5)
    assert not has_lost(good, [scores_of([0.80, 0.81, 0.79])], 5)
    assert not has_lost(scores_of([0.80, 0.81]), [good], 5), "two pairs tell nothing"
    assert not has_lost(scores_of([0.80, 0.93, 0.79]), [good], 5)
    assert not has_lost(good, [], 5)


def test_scores_that_differ_by_an_image_each_are_no_clear_loss() -> None:
    """Their differences have no variance, since a score comes in steps of one image."""
    assert not has_lost(scores_of([0.90, 0.90, 0.92]), [scores_of([0.92, 0.92, 0.94])], 5)


@pytest.mark.parametrize("images", [12, 30, 60])
@pytest.mark.parametrize("accuracy", [0.7, 0.9, 0.97])
def test_one_of_two_equals_is_rarely_given_up(images: int, accuracy: float) -> None:
    """Over both looks, whichever of them has lost, and though all folds share a difference."""
    draw, wrong, count = np.random.default_rng(0), 0, 400
    for _ in range(count):
        shift = draw.normal(0, 0.01, 2)  # of what these images make of each, on all folds
        level = np.clip(accuracy + shift, 0, 1)
        first, second = (draw.binomial(images, p, 5) / images for p in level)
        wrong += any(has_lost(scores_of(first[:n]), [scores_of(second[:n])], 5) for n in (3, 4))
    assert wrong / count <= 0.05


def begun(ledger: Ledger, chosen: Sequence[TrialLog], levels: dict[float, float]) -> list[str]:
    """Run a confirmation whose scores are given by learning rate, as the engine does."""
    scheduler, names = losers_stopped(ledger.config, chosen), []
    while (log := next_trial(ledger, scheduler)) is not None:
        lr, fold = log.params["optim.lr"], log.params["data.fold"]
        names.append(f"{lr:g} {fold}")
        score = levels[lr] + int(fold[0]) / 100
        metrics = {"train_loss": 0.0, "train_acc": 1.0, "val_loss": 1.0, "epoch_seconds": 1.0}
        assert scheduler.decide(ledger, log, Epoch({**metrics, "val_acc": score}, 0)) is not None
        ledger.add_epoch(log.number, 1, {**metrics, "val_acc": score}, Decision.GO_ON)
        ledger.end(log.number, TrialState.COMPLETE)
    return names


def test_no_more_runs_of_a_clear_loser_begin_also_after_a_kill(tmp_path: Path) -> None:
    one = search(tmp_path)
    chosen = [trial(7, [0.95]), trial(3, [0.90])]
    ledger = open_confirmation(one, chosen)
    assert ledger is not None
    levels = {8e-3: 0.5, 4e-3: 0.9}
    names = begun(ledger, chosen, levels)
    assert [name for name in names if name.startswith("0.008")] == [
        "0.008 1/5", "0.008 2/5", "0.008 3/5",
    ]  # fmt: skip
    assert sum(name.startswith("0.004") for name in names) == 5
    again = open_confirmation(one, chosen)
    assert again is not None
    assert (again.ended, again.asked) == (10, 10), "the runs that were not worth it have ended"
    assert begun(again, chosen, levels) == []
    assert [one.trial.number for one in ranked(chosen, again.trials.values())] == [3, 7]


def test_a_run_of_a_finalist_that_lost_meanwhile_is_stopped(tmp_path: Path) -> None:
    one = search(tmp_path)
    chosen = [trial(7, [0.95]), trial(3, [0.90])]
    runs = [*on_folds(7, [0.5, 0.51, 0.52]), *on_folds(3, [0.9, 0.9, 0.91], first=3)]
    ledger = open_confirmation(one, chosen)
    assert ledger is not None
    ledger.trials = {run.number: run for run in runs}
    scheduler = losers_stopped(one.config, chosen)
    late, epoch = trial(9, [], of=7, fold="4/5"), Epoch({"val_acc": 0.9, "val_loss": 1.0}, 0)
    assert scheduler.decide(ledger, late, epoch) is Decision.STOP
    assert scheduler.decide(ledger, trial(9, [], of=3, fold="4/5"), epoch) is Decision.GO_ON


def test_a_refit_trains_for_the_epochs_that_were_best_over_folds() -> None:
    chosen = [trial(7, [0.5, 0.6, 0.9])]
    curves = [[0.5, 0.8, 0.7], [0.5, 0.7, 0.75], [0.6, 0.9, 0.8]]
    runs = [
        trial(number, curve, 7, name)
        for number, (curve, name) in enumerate(zip(curves, fold_names(3), strict=True))
    ]
    (winner,) = ranked(chosen, runs)
    constant = load_config(DIGITS, ["schedule.name=constant", "train.epochs=3"])
    assert chosen_epochs(constant, winner) == 2
    assert chosen_epochs(constant, ranked(chosen, [])[0]) == 3


@pytest.mark.parametrize("name", ["one_cycle", "cosine"])
def test_a_refit_trains_to_the_end_of_a_schedule_that_ends_at_nothing(name: str) -> None:
    (winner,) = ranked([trial(7, [0.5, 0.9, 0.8])], [])
    words = [f"schedule.name={name}", "train.epochs=3"]
    assert chosen_epochs(load_config(DIGITS, words), winner) == 3
    early = load_config(DIGITS, [*words, "train.early_stopping=1"])
    assert chosen_epochs(early, winner) == 3, "which it came to the end of"
    (stopped,) = ranked([trial(7, [0.5, 0.9])], [])
    assert chosen_epochs(early, stopped) == 2


def test_with_auto_the_winner_is_refitted_where_it_ran_on_folds() -> None:
    (on_few,) = ranked([trial(7, [0.9])], on_folds(7, [0.9, 0.8]))
    (on_many,) = ranked([trial(7, [0.9])], [])
    auto = load_config(DIGITS, ["refit.enabled=auto"])
    assert is_refitted(auto, on_few)
    assert not is_refitted(auto, on_many)
    folds = load_config(DIGITS, ["refit.enabled=auto", "confirm.folds=5", "confirm.top_k=1"])
    assert is_refitted(folds, on_many), "for whose folds there was no time"
    assert not is_refitted(load_config(DIGITS, []), on_few), "off by default"
    assert is_refitted(load_config(DIGITS, ["refit.enabled=true"]), on_many)
    assert not is_refitted(load_config(DIGITS, ["refit.enabled=false"]), on_few)


@pytest.mark.parametrize(
    ("words", "folds", "validated", "refitted"),
    [
        (("refit.enabled=auto",), 0, 249, True),
        (("refit.enabled=auto",), 0, 250, False),
        (("refit.enabled=auto",), 5, 249, True),  # whatever comes of the folds
        (("refit.enabled=auto",), 5, 250, "auto"),
        (("refit.enabled=auto", "space.schedule.name=[plateau,cosine]"), 5, 249, "auto"),
        (("refit.enabled=auto", "data.fold=1/5"), 0, 10, False),
        (("refit.enabled=auto", "schedule.name=plateau"), 0, 10, False),
        (("refit.enabled=auto", "space.schedule.name=[plateau,cosine]"), 0, 10, False),
        (("refit.enabled=true",), 0, 9999, True),
        (("refit.enabled=false",), 0, 10, False),
    ],
)
def test_with_auto_the_winner_is_refitted_where_the_validation_images_are_few(
    words: tuple[str, ...], folds: int, validated: int, refitted: bool | str
) -> None:
    config = load_config(DIGITS, list(words))
    found = decided(config, folds, validated)
    assert found == refitted
    # What was decided is read again where a search goes on.
    load_config(DIGITS, [*words, f"refit.enabled={str(found).lower()}"])


def test_a_refit_is_one_trial_on_all_images_and_is_found_again(tmp_path: Path) -> None:
    one = search(tmp_path)
    (winner,) = ranked([trial(7, [0.9, 0.95])], on_folds(7, [0.9, 0.8]))
    ledger = open_refit(one, winner)
    assert (ledger.kind, ledger.asked) == ("refit", 1)
    log = ledger.begin()
    config = ledger.config.trial(log.params)
    assert (config.data.fold, config.train.stop_after, config.optim.lr) == ("all", 6, 8e-3)
    assert refit_of(winner, ledger) is None, "it has not completed"
    ledger.end(log.number, TrialState.PRUNED)
    log.state = TrialState.COMPLETE
    assert refit_of(winner, ledger) is log
    assert open_refit(one, winner).asked == 1


def test_the_score_of_a_refit_is_that_of_the_epoch_that_it_is_trained_to() -> None:
    """And not of the epoch that the search chose, nor the luckiest of the search's scores."""
    chosen, names = [trial(7, [0.9, 0.6, 0.5])], fold_names(2)
    runs = [trial(0, [0.9, 0.5, 0.6], 7, names[0]), trial(1, [0.9, 0.7], 7, names[1])]
    config = load_config(DIGITS, ["schedule.name=one_cycle", "train.epochs=3"])
    assert refit_score(config, ranked(chosen, runs)[0]) == pytest.approx(0.65)
    assert refit_score(config, ranked(chosen, [])[0]) is None


def test_a_refit_that_failed_is_told_with_its_error(tmp_path: Path) -> None:
    one = search(tmp_path, "refit.enabled=auto")
    (winner,) = ranked([trial(7, [0.9, 0.95])], on_folds(7, [0.9, 0.8]))
    ledger = open_refit(one, winner)
    nothing = Ledgers(ledger)
    assert why_unfitted(one.config, winner, nothing) == ""
    log = ledger.begin()
    ledgers = Ledgers(nothing.searched, None, ledger)
    assert why_unfitted(one.config, winner, ledgers) == ""
    ledger.end(log.number, TrialState.FAIL, "DivergedError: the loss is nan")
    assert why_unfitted(one.config, winner, ledgers) == (
        "the winner was not trained on all images: DivergedError: the loss is nan"
    )


@pytest.mark.parametrize(
    ("words", "where"), [([], "on folds"), (["confirm.folds=0"], "under another seed")]
)
def test_where_every_run_of_a_confirmation_failed_it_is_told(
    words: list[str], where: str, tmp_path: Path
) -> None:
    one, chosen = search(tmp_path, *words), [trial(7, [0.9])]
    ledger = open_confirmation(one, chosen)
    assert ledger is not None
    while ledger.has_more():
        ledger.end(ledger.begin().number, TrialState.FAIL, "OutOfMemoryError: full")
    (winner,) = ranked(chosen, ledger.trials.values())
    told = why_unfitted(one.config, winner, Ledgers(ledger, ledger))
    assert told == f"no finalist has completed a run {where}: OutOfMemoryError: full"


def test_where_one_finalist_completed_a_run_and_another_failed_none_is_told(
    tmp_path: Path,
) -> None:
    """The winner had no time to run again, and has its place by its trial."""
    one, chosen = search(tmp_path, "confirm.folds=0"), [trial(7, [0.9]), trial(8, [0.8])]
    ledger = open_confirmation(one, chosen)
    assert ledger is not None
    ledger.end(ledger.begin().number, TrialState.FAIL, "OutOfMemoryError: full")
    add_trial(ledger, [0.8])
    assert why_unfitted(one.config, Finalist(chosen[0]), Ledgers(ledger, ledger)) == ""


def test_who_lost_to_a_former_finalist_alone_may_win() -> None:
    """The search grew, and the one that was clearly better is no finalist any more."""
    stopped = trial(20, [], of=7, fold="4/5")
    stopped.state = TrialState.PRUNED
    runs = [*on_folds(7, [0.5, 0.51, 0.52]), stopped]
    runs += on_folds(3, [0.9, 0.9, 0.91, 0.9, 0.9], first=30)
    worse = on_folds(5, [0.4, 0.6, 0.4, 0.5, 0.5], first=40)
    before = ranked([trial(7, [0.95]), trial(3, [0.9])], runs)
    assert [one.trial.number for one in before] == [3, 7]
    now = ranked([trial(7, [0.95]), trial(5, [0.94])], [*runs, *worse])
    assert [one.trial.number for one in now] == [7, 5]


@pytest.mark.parametrize("word", ["schedule.name=plateau", "space.schedule.name=[plateau,cosine]"])
def test_a_schedule_that_goes_by_the_validation_loss_is_not_refitted(word: str) -> None:
    with pytest.raises(
        ConfigError, match=r"refit\.enabled=true and schedule\.name=plateau exclude"
    ):
        load_config(DIGITS, ["refit.enabled=true", word])
    auto = load_config(DIGITS, ["refit.enabled=auto", "schedule.name=plateau"])
    (winner,) = ranked([trial(7, [0.9])], on_folds(7, [0.9, 0.8]))
    assert not is_refitted(auto, winner)
