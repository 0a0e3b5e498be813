"""The last lines of a search, to the letter."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from tests.helpers.commands import DIGITS
from tests.helpers.results import add_trial, results_of
from tests.helpers.studies import ledger_in_memory
from trainable.data.datasets import Dataset
from trainable.judging.bootstrap import interval
from tune.cli import open_console
from tune.config.loading import load_config
from tune.models.promotion import FIRST, Standing
from tune.reporting.results import Model, SearchResults
from tune.reporting.terminal import print_ending, print_results
from tune.strategy.confirmation import Finalist
from tune.study.folder import SearchFolder


def results_with(dataset: Dataset, *words: str) -> SearchResults:
    """The results of a search whose best trial was confirmed under two other seeds."""
    config = load_config(DIGITS, list(words))
    ledger = ledger_in_memory(config)
    for scores in ([0.5, 0.9, 0.8], [0.7, 0.8, 0.6], [0.6, 0.7, 0.6]):
        add_trial(ledger, scores)
    found = results_of(dataset, 0)
    winner, *runs = ledger.trials.values()
    return replace(found, ledger=ledger, finalists=(Finalist(winner, runs),))


def said(results: SearchResults) -> str:
    """What is printed."""
    output = StringIO()
    print_results(results, open_console(file=output, width=80))
    return output.getvalue()


def test_everything_is_said_in_its_place(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    results = replace(
        results_with(dataset),
        model=Model(("confirm-001", "trial-000"), None, 0.9125),
        standing=Standing(1, True, None, FIRST),
        report=tmp_path / "mlruns" / "searches" / "many" / "report.html",
    )
    params = results.finalists[0].trial.params
    searched = "\n".join(f"  {key} = {params[key]}" for key in results.config.space)
    assert (
        said(results)
        == f"""
Registered resnet18-digits version 1, alias champion: the first champion, compared with none
  model               the soup of confirm-001, trial-000
  test accuracy       98.06% of 360 images (95 % interval 96.04% to 99.05%), as it is served
  confirmed           75.00% ± 7.07%, trial 0 over 2 other seeds after epoch 2
                      Seeds disagree (70.00% and 80.00%), by more than chance on 288 images \
explains: more validation images or folds would help
  validation accuracy 91.25%, by which the model was chosen
  best of the search  90.00%, the luckiest of 3 trials: trial 0, epoch 2

Settings of trial 0:
{searched}

Look further:
  mlruns/searches/many/report.html               this search as a page
  mlflow ui                                      every run, metric and model
  optuna-dashboard sqlite:///mlruns/optuna.db    the study (pip install optuna-dashboard)
"""
    )


def on_folds(results: SearchResults) -> SearchResults:
    """The same, had the winner run on folds and been trained on all images."""
    (winner,) = results.finalists
    runs = [
        replace(run, params={**run.params, "data.fold": f"{number}/2"})
        for number, run in enumerate(winner.runs, 1)
    ]
    finalist = Finalist(winner.trial, runs)
    model = Model(("refit-000",), 2, finalist.mean)
    return replace(results, finalists=(finalist,), model=model)


def test_what_was_confirmed_on_folds_and_refitted_is_said_so(dataset: Dataset) -> None:
    lines = said(on_folds(results_with(dataset))).splitlines()
    images = len(dataset.train) + len(dataset.val)
    assert "  model               the winner trained on all images: refit-000, epoch 2" in lines
    assert "  confirmed           75.00% ± 7.07%, trial 0 over 2 folds after epoch 2" in lines
    assert (
        "  validation accuracy 75.00%, the mean of its recipe over 2 folds; it has trained on all "
        f"{images} images"
    ) in lines


def test_why_a_refit_is_not_taken_is_said(dataset: Dataset) -> None:
    assert f"\n{22 * ' '}it knows less\n" in said(
        replace(results_with(dataset), remark="it knows less")
    )


def test_where_the_loss_is_minimized_it_is_said_as_a_number(dataset: Dataset) -> None:
    results = results_with(dataset, "objective.metric=val_loss")
    assert results.test is not None
    lines = said(results).splitlines()
    start = lines.index("  model               a single run: trial-000, epoch 6")
    ends = interval(results.objective.metric, results.test)
    assert lines[start + 1 : start + 4] == [
        f"  test loss           {results.test.loss:.4g} of 360 images (95 % interval "
        f"{ends[0]:.4g} to {ends[1]:.4g}), as it is served",
        "  test accuracy       98.06% of 360 images (95 % interval 96.04% to 99.05%), as it is "
        "served",
        "  confirmed           0.25 ± 0.07071, trial 0 over 2 other seeds after epoch 2",
    ]
    assert lines[start + 5 : start + 7] == [
        "  validation loss     0.9, by which the model was chosen",
        "  best of the search  0.1, the luckiest of 3 trials: trial 0, epoch 2",
    ]


def test_the_best_score_of_the_search_is_that_of_whichever_trial_has_it(dataset: Dataset) -> None:
    results = results_with(dataset)
    winner = results.ledger.trials[1]
    text = said(replace(results, finalists=(Finalist(winner, ()),)))
    assert "  best of the search  90.00%, the luckiest of 3 trials: trial 0, epoch 2\n" in text
    assert "\nSettings of trial 1:\n" in text


def test_long_times_are_said_in_days_and_hours(dataset: Dataset, tmp_path: Path) -> None:
    results = replace(results_with(dataset, "budget.time=2d"), undone="no confirmation")
    output, home = StringIO(), SearchFolder("many", tmp_path)
    console = open_console(file=output, width=80)
    assert print_ending(results, home, "", 171_000.4, console) == []
    assert "\nTook 1 d 23 h 30 min, and " in output.getvalue()
    assert "\nThe time budget of 2 d is used up: no confirmation. Go on" in output.getvalue()


def test_of_a_single_run_no_spread_is_said(dataset: Dataset) -> None:
    results = results_with(dataset)
    (winner,) = results.finalists
    text = said(replace(results, finalists=(Finalist(winner.trial, winner.runs[:1]),)))
    assert "  confirmed           80.00%, trial 0 over 1 other seed after epoch 2\n" in text
    assert "disagree" not in text


def test_what_was_searched_is_said_as_it_is(dataset: Dataset) -> None:
    results = results_with(dataset)
    results.finalists[0].trial.params["optim.lr"] = "[red]a[/green] :smile:"
    assert "  optim.lr = [red]a[/green] :smile:\n" in said(results)


def test_a_key_that_the_winner_does_not_have_is_not_said(dataset: Dataset) -> None:
    when = "{values: [0.65], when: {model.unfreeze_depth: {ge: 3}}}"
    results = results_with(dataset, f"space.optim.layer_decay={when}")
    results.finalists[0].trial.params.pop("optim.layer_decay", None)
    assert "layer_decay" not in said(results)


def test_what_was_not_done_is_not_said(dataset: Dataset) -> None:
    results = results_with(dataset)
    alone = replace(
        results,
        test=None,
        model=None,
        finalists=(replace(results.finalists[0], runs=()),),
        decision="",
    )
    text = said(alone)
    for word in ("confirmed", "  model  ", "test accuracy", "Registered", "as a page"):
        assert word not in text


def test_a_model_that_is_not_to_be_registered_is_said_so(dataset: Dataset) -> None:
    text = said(results_with(dataset, "registry.register_best=false"))
    assert text.startswith("\nNot registered: registry.register_best=false\n")


def test_a_search_that_is_read_from_its_record_says_its_version(dataset: Dataset) -> None:
    told = replace(results_with(dataset), number=3, decision="not promoted (better): x; 90% of 98%")
    assert said(told).splitlines()[1:3] == [
        "Registered resnet18-digits version 3, not promoted (better): x",
        "  90% of 98%",
    ]
    assert said(results_with(dataset)).startswith("\nNot registered\n")


@pytest.mark.parametrize(
    ("standing", "lines"),
    [
        (
            Standing(2, False, None, "registry.promote=never"),
            ["Registered resnet18-digits version 2: registry.promote=never"],
        ),
        (
            Standing(3, True, None, "promoted (not-worse): 0.6 points worse at most; 98% of 90%"),
            [
                "Registered resnet18-digits version 3, alias champion, promoted (not-worse): 0.6 "
                "points worse at most",
                "  98% of 90%",
            ],
        ),
        (
            Standing(4, False, None, "not promoted (better): not better; 90% of 98%"),
            [
                "Registered resnet18-digits version 4, not promoted (better): not better",
                "  90% of 98%",
            ],
        ),
    ],
)
def test_a_version_is_said_with_the_gates_word(
    standing: Standing, lines: list[str], dataset: Dataset
) -> None:
    text = said(replace(results_with(dataset), standing=standing))
    assert text.splitlines()[1 : 1 + len(lines)] == lines


@pytest.mark.parametrize(
    ("uri", "command"),
    [
        ("http://127.0.0.1:5000", "  http://127.0.0.1:5000 "),
        ("sqlite:///other.db", "  mlflow ui --backend-store-uri sqlite:///other.db "),
    ],
)
def test_where_the_record_is_elsewhere_its_place_is_named(
    uri: str, command: str, dataset: Dataset
) -> None:
    text = said(results_with(dataset, f"tracking.uri={uri}", "tracking.study=sqlite:///my.db"))
    assert command in text
    assert "  optuna-dashboard sqlite:///my.db " in text


def test_a_report_elsewhere_is_named_with_its_whole_path(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    assert f"  {path} " in said(replace(results_with(dataset), report=path))
