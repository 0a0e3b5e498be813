"""The sections of a report, and one more from outside."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.results import results_of
from trainable.data.datasets import Dataset
from tune.reporting import sections
from tune.reporting.page import page

TITLES = [
    "Optimization history",
    "Learning curves",
    "Training and validation",
    "Hyperparameter importances",
    "Parallel coordinates",
    "Slices",
    "Contours",
    "Confusion",
    "Precision and recall",
    "Calibration",
]


def titles(text: str) -> list[str]:
    """The headings of a page's figures."""
    return re.findall(r"<figure[^>]*>\s*<h2>(.*?)</h2>", text)


PLUGIN = """
import plotly.graph_objects as go
from tune.reporting.sections import SECTIONS, Section

def bars(results):
    return go.Figure(go.Bar(y=[len(log.epochs) for log in results.trials]))

SECTIONS.insert(2, Section("Epochs", lambda results: f"Of {len(results.trials)}.", bars, wide=True))
"""


def test_a_section_from_outside_takes_its_place(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "epochs_section.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TUNE_PLUGINS", "epochs_section")
    monkeypatch.setattr(sections, "SECTIONS", sections.SECTIONS[:])
    text = page(results_of(dataset, 5))
    assert titles(text) == [*TITLES[:2], "Epochs", *TITLES[2:]]
    assert '<figure class="wide" id="figure-2">\n<h2>Epochs</h2>' in text
    assert "<figcaption>Of 5.</figcaption>" in text


@pytest.mark.parametrize("count", [1, 2])
def test_a_search_of_few_trials_has_the_sections_that_make_sense(
    count: int, dataset: Dataset
) -> None:
    left_out = {"Hyperparameter importances", "Contours"}
    assert titles(page(results_of(dataset, count))) == [t for t in TITLES if t not in left_out]


def test_before_the_test_a_report_has_no_section_of_it(dataset: Dataset) -> None:
    results = replace(results_of(dataset, 4), test=None)
    assert titles(page(results)) == TITLES[:7]


@pytest.mark.parametrize(("count", "warned"), [(4, True), (20, False)])
def test_importances_of_few_trials_come_with_a_caveat(
    count: int, warned: bool, dataset: Dataset
) -> None:
    text = page(results_of(dataset, count))
    assert (f"{count} trials say little: take it for a first guess." in text) is warned


def test_captions_say_what_was_compared(dataset: Dataset) -> None:
    text = page(results_of(dataset, 4))
    assert (
        "All trials that did not fail, pruned ones included, after epoch 1, the last that each"
        in text
    )
    assert "Far below the line: overfitting." in text


def test_duplicates_are_listed_by_their_names_as_text(dataset: Dataset) -> None:
    results = results_of(dataset, 5)
    groups = dataset.train.groups.copy()
    groups[:3] = groups[:3].min()
    files = tuple(Path(f"<b>{index}$x$.png") for index in range(len(groups)))
    train = replace(dataset.train, groups=groups, files=files)
    text = page(replace(results, dataset=replace(dataset, train=train)))
    assert titles(text)[-1] == "Duplicates"
    assert "Found: 1 group of exact or near duplicates, 3 images" in text
    assert "&lt;b&gt;2$x$.png" in text
