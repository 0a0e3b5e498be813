"""The report as its reader sees it, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.helpers.commands import run_module
from tests.helpers.doors import invoke
from tests.helpers.pages import LAPTOP, SCREENS, opened
from tests.helpers.searches import FinishedSearch, copied
from tune.study.folder import SearchFolder
from tune.tracking.notes import plain

TITLES = [
    "Optimization history",
    "Learning curves",
    "Training and validation",
    "Hyperparameter importances",
    "Parallel coordinates",
    "Slices",
    "Contours",
    "The finalists",
    "Confusion",
    "Precision and recall",
    "Calibration",
]


@pytest.mark.parametrize(("size", "scheme"), SCREENS)
def test_the_page_of_a_search_shows_every_figure_and_asks_nobody(
    size: tuple[int, int], scheme: str, finished_search: FinishedSearch, browser: Browser
) -> None:
    path = finished_search.folder / "mlruns" / "searches" / "first" / "report.html"
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


@pytest.mark.slow
def test_the_page_says_what_the_terminal_said(
    finished_search: FinishedSearch, browser: Browser
) -> None:
    path = finished_search.folder / "mlruns" / "searches" / "first" / "report.html"
    view, _ = opened(browser, path, LAPTOP)
    cards = dict(
        zip(
            view.locator(".cards dt").all_inner_texts(),
            view.locator(".cards dd").all_inner_texts(),
            strict=True,
        )
    )
    assert cards["Trials"] == "5"
    for what in ("Validation accuracy", "Confirmed", "Test accuracy"):
        assert cards[what] in finished_search.output
    assert "the first champion" in view.locator("main").inner_text()


@pytest.mark.nightly
def test_report_makes_the_same_page_again(finished_search: FinishedSearch, tmp_path: Path) -> None:
    own = finished_search.folder / "mlruns" / "searches" / "first" / "report.html"
    # In a process of its own: Streamlit, which other tests import, changes Plotly's template.
    done = run_module("tune.report", "--out", str(tmp_path), cwd=finished_search.folder)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == tmp_path / "report.html"
    assert (tmp_path / "report.html").read_text() == own.read_text()
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert (tmp_path / "MODEL_CARD.md").read_text() == own.with_name("MODEL_CARD.md").read_text()
    assert pictures == ["confusion.png", "history.png", "learning_curves.png", "mistakes.png"]


def test_page_and_pictures_are_the_parent_runs(finished_search: FinishedSearch) -> None:
    client, (parent,) = finished_search.client, finished_search.runs("search")
    names = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert names >= {"report.html", "history.png", "confusion.png", "mistakes.png", "MODEL_CARD.md"}


def test_the_registered_version_has_its_card(finished_search: FinishedSearch) -> None:
    client, (parent,) = finished_search.client, finished_search.runs("search")
    (version,) = client.search_model_versions(f"run_id = '{parent.info.run_id}'")
    (found,) = client.search_logged_models([parent.info.experiment_id])
    card = Path(found.artifact_location.removeprefix("file://"), "MODEL_CARD.md").read_text()
    assert card.startswith(f"# {plain(version.name)}, version {version.version}\n")
    assert f"models:/{version.name}/{version.version} photo.jpg" in card
    assert "ms for one image of" in card
    own = finished_search.folder / "mlruns" / "searches" / "first" / "MODEL_CARD.md"
    assert own.read_text() == card


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing"], "nothing: no such search"),
        (["../first"], "letters, digits"),
    ],
)
def test_what_report_cannot_show_is_told(
    words: list[str], told: str, finished_search: FinishedSearch
) -> None:
    done = invoke("tune.report", *words, cwd=finished_search.folder)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("words", [["tune.report", "first"], ["tune.data", "--search=first"]])
def test_answers_are_not_told_of_images_that_have_changed_since(
    words: list[str], finished_search: FinishedSearch, tmp_path: Path
) -> None:
    home = SearchFolder("first", copied(finished_search.folder, tmp_path).folder / "mlruns")
    home.save(home.load().model_copy(update={"data_fingerprint": "0" * 64}))
    done = invoke(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("search first: its images have changed since it was started") == 1
    assert len(done.stderr.splitlines()) == 1


def test_where_no_search_was_begun_report_says_so(tmp_path: Path) -> None:
    done = invoke("tune.report", cwd=tmp_path)
    assert done.returncode == 2
    assert "no search was started in this folder" in done.stderr
    assert list(tmp_path.iterdir()) == []
