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
from tune.cli import open_console
from tune.config.loading import load_config
from tune.models.promotion import Standing
from tune.reporting.results import Model, SearchResults
from tune.reporting.terminal import print_results
from tune.strategy.confirmation import Finalist


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
        standing=Standing(1, True, None, "the first champion"),
        report=tmp_path / "mlruns" / "searches" / "many" / "report.html",
    )
    params = results.finalists[0].trial.params
    searched = "\n".join(f"  {key} = {params[key]}" for key in results.config.space)
    assert (
        said(results)
        == f"""
Best trial: 0, epoch 2
{searched}
  validation accuracy 90.00%, the best of 3 trials, so partly luck
  confirmed           75.00% ± 7.07%, 2 other seeds after epoch 2

Model: the soup of confirm-001, trial-000
  validation accuracy 91.25%, by which it was chosen
  test accuracy       98.06% of 360 images, as it is served

Registered resnet18-digits version 1, alias champion

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
    assert "  confirmed           75.00% ± 7.07%, 2 folds after epoch 2" in lines
    place = lines.index("Model: refit-000, epoch 2")
    assert lines[place + 1] == (
        "  validation accuracy 75.00%, the mean of its recipe over 2 folds; it has trained on all "
        f"{images} images"
    )


def test_why_a_refit_is_not_taken_is_said(dataset: Dataset) -> None:
    assert "\n  it knows less\n" in said(replace(results_with(dataset), remark="it knows less"))


def test_where_the_loss_is_minimized_it_is_said_as_a_number(dataset: Dataset) -> None:
    results = results_with(dataset, "objective.metric=val_loss")
    assert results.test is not None
    lines = said(results).splitlines()
    start = lines.index("  validation loss     0.1, the best of 3 trials, so partly luck")
    assert lines[start + 1 : start + 7] == [
        "  confirmed           0.25 ± 0.07071, 2 other seeds after epoch 2",
        "",
        "Model: trial-000, epoch 6",
        "  validation loss     0.9, by which it was chosen",
        f"  test loss           {results.test.loss:.4g} of 360 images, as it is served",
        "  test accuracy       98.06% of 360 images, as it is served",
    ]


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
    for word in ("confirmed", "Model", "test accuracy", "Registered", "as a page"):
        assert word not in text


def test_a_version_that_is_not_promoted_is_said_with_the_reason(dataset: Dataset) -> None:
    standing = Standing(2, False, None, "tune.promote=never")
    text = said(replace(results_with(dataset), standing=standing))
    assert "Registered resnet18-digits version 2\n  tune.promote=never\n" in text


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
