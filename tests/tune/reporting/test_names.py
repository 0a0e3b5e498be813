"""Names of classes are data: in the page, in its figures and in the pictures."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.helpers.names import NASTY
from tests.helpers.pages import LAPTOP, opened
from tests.helpers.results import dataset_of, results_of
from trainable.base.text import printable, shortened
from tune.reporting.files import write_report
from tune.reporting.png import write_pictures
from tune.reporting.predictions import confusion, per_class
from tune.reporting.results import SearchResults

WIDTH = 32


@pytest.fixture(scope="module")
def results() -> SearchResults:
    return results_of(dataset_of(NASTY, images=1), 6)


@pytest.mark.slow
def test_pictures_show_names_as_they_are(results: SearchResults, tmp_path: Path) -> None:
    names = {path.name for path in write_pictures(results, tmp_path)}
    assert names == {"history.png", "learning_curves.png", "confusion.png", "mistakes.png"}


def test_scripts_that_matplotlib_cannot_shape_are_no_warning(tmp_path: Path) -> None:
    names = (
        "\u0939\u093f\u0928\u094d\u0926\u0940",
        "\u732b",
        "\u0642\u0637\u0629",
        "\U0001f600",
        "\u0e41\u0e21\u0e27",
    )
    assert len(write_pictures(results_of(dataset_of(names, images=2), 3), tmp_path)) == 4


@pytest.mark.slow
def test_the_figures_show_names_as_they_are(
    results: SearchResults, tmp_path: Path, browser: Browser
) -> None:
    path, *_ = write_report(results, tmp_path)
    view, wrong = opened(browser, path, LAPTOP)
    assert wrong == []
    shown = [shortened(printable(name), WIDTH) for name in NASTY]
    text = "all => all.map(one => one.textContent)"
    for title in ("Confusion", "Most confused", "Precision and recall"):
        figure = view.locator("figure", has=view.get_by_role("heading", name=title, exact=True))
        across = figure.locator(".xtick text").evaluate_all(text)
        down = figure.locator(".ytick text").evaluate_all(text)
        if title == "Confusion":
            assert sorted(down) == sorted(shown)
        if title == "Most confused":
            pairs = pairwise(shown[:8])
            assert sorted(down) == sorted(f"{one}taken for {other}" for one, other in pairs)
        if title == "Precision and recall":  # it leaves some out
            assert set(across) <= set(shown)
            assert len(across) > 10
        assert figure.locator(".xtick a, .ytick a, .ytick tspan[style]").count() == 0


@pytest.mark.slow
def test_the_gallery_shows_names_whole_and_in_their_own_direction(
    results: SearchResults, tmp_path: Path, browser: Browser
) -> None:
    path, *_ = write_report(results, tmp_path)
    view, _ = opened(browser, path, LAPTOP)
    truths = view.locator(".gallery bdi").all_inner_texts()
    assert len(truths) == 14, "the answer and the truth of seven mistakes"
    assert {printable(name) for name in NASTY[:7]} <= set(truths)


def test_classes_whose_names_begin_and_end_alike_stay_apart() -> None:
    names = [f"{'a' * 40}{middle}{'z' * 40}" for middle in "xyz"]
    results = results_of(dataset_of(names), 1)
    assert results.test is not None
    matrix = confusion(names, results.test).data[0]
    assert matrix.z.shape == (3, 3)
    assert len(set(matrix.x)) == len(set(matrix.y)) == 3
    bars, *_ = per_class(names, results.test).data
    assert len(set(bars.x)) == 3
