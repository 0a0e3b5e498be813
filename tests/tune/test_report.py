"""The report as its reader sees it, in a real browser."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from optuna import create_study
from optuna.samplers import RandomSampler
from optuna.trial import Trial, TrialState
from playwright.sync_api import Browser, Page

from tests.helpers.commands import DIGITS, run_module
from tests.helpers.searches import FinishedSearch
from trainable.data.datasets import Dataset, load_dataset
from trainable.predictions import Predictions
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.reporting.data import common_epoch, comparable_study, compute_of, worst_mistakes
from tune.reporting.figures import calibration, contours, figures
from tune.reporting.page import page
from tune.reporting.publishing import write_report
from tune.reporting.results import SearchResults
from tune.study.ledger import Ledger
from tune.study.trial import FACTS, METRICS

LAPTOP, PHONE = (1366, 768), (390, 844)
TITLES = [
    "Optimization history",
    "Learning curves",
    "Train and validation",
    "What mattered",
    "Parallel coordinates",
    "Slices",
    "Contours",
    "The finalists",
    "Confusion",
    "Precision and recall",
    "Calibration",
]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(load_config(DIGITS, ["data.image_size=16"]).data)


def made_up(config: SearchConfig, count: int) -> Ledger:
    """A search's trials, of which two in three were stopped after 1 or 2 epochs."""
    ledger = Ledger(create_study(direction="maximize"), config)
    draw = np.random.default_rng(0)
    for number in range(count):
        log = ledger.begin()
        epochs = 6 if number % 3 == 0 else number % 3
        level = draw.uniform(0.3, 0.9)
        for epoch in range(1, epochs + 1):
            score = level + (1 - level) * epoch / 10
            result = dict.fromkeys(METRICS, score) | dict.fromkeys(FACTS, "x")
            ledger.add_epoch(number, epoch, result, stopped=False)
        ledger.end(log.number, TrialState.COMPLETE if epochs == 6 else TrialState.PRUNED)
    return ledger


def results_of(dataset: Dataset, count: int) -> SearchResults:
    """A results of made-up trials, with answers that are mostly right."""
    ledger = made_up(load_config(DIGITS), count)
    labels = dataset.test.labels
    logits = torch.nn.functional.one_hot(labels, 10).float() * 4
    logits[:7] = logits[:7].roll(1, dims=1) * torch.linspace(0.5, 2, 7)[:, None]
    test = Predictions(logits, labels)
    return SearchResults(
        "many",
        ledger,
        dataset,
        candidate="single",
        test=test,
        decision="the first champion",
    )


def opened(
    browser: Browser, path: Path, size: tuple[int, int], scheme: str
) -> tuple[Page, list[str]]:
    """The page, drawn, and what was wrong with it."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    view, wrong = context.new_page(), list[str]()
    view.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    view.on("pageerror", lambda error: wrong.append(str(error)))
    view.on("request", lambda asked: None if local(asked.url) else wrong.append(asked.url))
    view.goto(path.as_uri())
    view.wait_for_function(
        "document.querySelectorAll('.plot').length"
        " === document.querySelectorAll('.plot .main-svg:first-child').length"
    )
    return view, wrong


def local(url: str) -> bool:
    return url.startswith(("file:", "data:", "blob:"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_the_page_of_a_search_shows_every_figure_and_asks_nobody(
    size: tuple[int, int], scheme: str, confirmed_search: FinishedSearch, browser: Browser
) -> None:
    path = confirmed_search.folder / "mlruns" / "searches" / "first" / "report.html"
    view, wrong = opened(browser, path, size, scheme)
    assert view.locator("figure h2").all_inner_texts() == TITLES
    assert wrong == []
    beyond = view.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert beyond <= 0, "it can be scrolled sideways"
    widest = view.evaluate(  # the wide ones can be scrolled
        "Math.max(...[...document.querySelectorAll('figure:not(.wide) .main-svg')].map(svg =>"
        " svg.getBoundingClientRect().right))"
    )
    assert widest <= size[0]
    ink, paper = (
        view.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "background")
    )
    assert ("rgb(20, 24, 28)" in paper) == (scheme == "dark"), (ink, paper)


def test_the_page_says_what_the_terminal_said(
    confirmed_search: FinishedSearch, browser: Browser
) -> None:
    path = confirmed_search.folder / "mlruns" / "searches" / "first" / "report.html"
    view, _ = opened(browser, path, LAPTOP, "light")
    cards = dict(
        zip(
            view.locator(".cards dt").all_inner_texts(),
            view.locator(".cards dd").all_inner_texts(),
            strict=True,
        )
    )
    assert cards["Trials"] == "5"
    for what in ("Validation accuracy", "Confirmed", "Test accuracy"):
        assert cards[what] in confirmed_search.output
    assert "the first champion" in view.locator("main").inner_text()


def test_report_makes_the_same_page_again(confirmed_search: FinishedSearch, tmp_path: Path) -> None:
    own = confirmed_search.folder / "mlruns" / "searches" / "first" / "report.html"
    done = run_module("tune.report", "--out", str(tmp_path), cwd=confirmed_search.folder)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == tmp_path / "report.html"
    assert (tmp_path / "report.html").read_text() == own.read_text()
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert pictures == ["confusion.png", "history.png", "learning_curves.png", "mistakes.png"]


def test_page_and_pictures_are_the_parent_runs(confirmed_search: FinishedSearch) -> None:
    client, (parent,) = confirmed_search.client, confirmed_search.runs("search")
    names = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert names >= {"report.html", "history.png", "confusion.png", "mistakes.png"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing"], "nothing: no such search"),
        (["../first"], "letters, digits"),
    ],
)
def test_what_report_cannot_show_is_told(
    words: list[str], told: str, confirmed_search: FinishedSearch
) -> None:
    done = run_module("tune.report", *words, cwd=confirmed_search.folder)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_where_no_search_was_begun_report_says_so(tmp_path: Path) -> None:
    done = run_module("tune.report", cwd=tmp_path)
    assert done.returncode == 2
    assert "no search was begun in this folder" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_two_hundred_trials_fit_a_page(dataset: Dataset, tmp_path: Path, browser: Browser) -> None:
    path, *_ = write_report(results_of(dataset, 200), tmp_path)
    assert path.stat().st_size < 8_000_000
    view, wrong = opened(browser, path, LAPTOP, "light")
    assert wrong == []
    assert view.locator("tbody tr").count() == 200


def test_names_cannot_write_into_the_page(dataset: Dataset) -> None:
    evil = "</script><script>alert(1)</script>"
    results = results_of(dataset, 4)
    named = replace(dataset, classes=(evil, *dataset.classes[1:]))
    text = page(
        SearchResults(**{**vars(results), "name": evil, "dataset": named, "decision": evil})
    )
    assert "<script>alert" not in text


def test_trials_are_compared_at_the_last_epoch_that_all_reached(dataset: Dataset) -> None:
    results = results_of(dataset, 9)
    assert common_epoch(results) == 1
    study = comparable_study(results)
    assert [trial.value for trial in study.trials] == [
        log.epochs[0].metrics["val_acc"] for log in results.trials
    ]


def test_a_trial_that_failed_does_not_shorten_the_comparison(dataset: Dataset) -> None:
    results = results_of(dataset, 1)
    results.ledger.begin()
    result = dict.fromkeys(METRICS, 0.1) | dict.fromkeys(FACTS, "x")
    results.ledger.add_epoch(1, 1, result, stopped=False)
    results.ledger.end(1, TrialState.FAIL, "broke")
    assert common_epoch(results) == 6
    assert len(comparable_study(results).trials) == 1


@pytest.mark.parametrize("count", [1, 2])
def test_a_search_of_few_trials_has_the_figures_that_make_sense(
    count: int, dataset: Dataset
) -> None:
    made = figures(results_of(dataset, count))
    assert "Learning curves" in made
    assert "What mattered" not in made


def test_the_contours_of_many_trials_are_filled_between_them_and_nowhere_else() -> None:
    study = create_study(direction="maximize", sampler=RandomSampler(seed=0))

    def rises(trial: Trial) -> float:
        rate = trial.suggest_float("optim.lr", 1e-4, 1e-2, log=True)
        return np.log10(rate) + trial.suggest_float("augment.mixup", 0, 1)

    study.optimize(rises, 200)
    figure = contours(study, "score")
    assert figure is not None
    surface = figure.data[0]
    log, mixup = (
        ("x", "y") if figure.layout.xaxis.type == "log" else ("y", "x")  # whichever mattered more
    )
    grid = {"x": surface.x[None, :], "y": surface.y[:, None]}
    expected = np.log10(grid[log]) + grid[mixup]
    inside = np.isfinite(surface.z)
    assert 0.5 < inside.mean() < 1
    assert np.abs(surface.z - expected)[inside].max() < 1e-9
    assert not inside[0, 0]


def test_the_worst_mistakes_are_those_it_was_surest_of(dataset: Dataset) -> None:
    test = results_of(dataset, 1).test
    assert test is not None
    assert worst_mistakes(test, 3).tolist() == [6, 5, 4]
    assert len(worst_mistakes(test, 100)) == 7


def test_calibration_counts_every_image_once(dataset: Dataset) -> None:
    test = results_of(dataset, 1).test
    assert test is not None
    bars = json.loads(calibration(test).to_json())["data"][0]
    assert sum(int(count) for count in bars["text"]) == len(test.labels)


def test_what_the_store_saved_is_counted_by_hand(dataset: Dataset) -> None:
    ledger = Ledger(create_study(direction="maximize"), load_config(DIGITS))
    for number in range(2):  # both heads only, no augmentation, 2 epochs
        log = ledger.begin()
        log.params.update({"model.unfreeze_depth": 0, "augment.policy": "none"})
        result = dict.fromkeys(METRICS, 0.5) | dict.fromkeys(FACTS, "x")
        for epoch in (1, 2):
            ledger.add_epoch(number, epoch, result, stopped=False)
        ledger.end(number, TrialState.COMPLETE)
    spent = compute_of(SearchResults("two", ledger, dataset))
    images = len(dataset.train) + len(dataset.val)
    assert (spent.asked, spent.computed, spent.saved) == (4 * images, images, 0.75)
    assert spent.epochs == 4
