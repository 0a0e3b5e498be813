"""What the report says of the images, and the page about them."""

from __future__ import annotations

import csv
import os
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from tests.helpers.images import write_folders
from tests.helpers.pages import SCREENS, opened
from tests.helpers.results import dataset_of, results_of
from trainable.config import DataConfig
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.split import Split
from trainable.registries import POLICIES
from tune.reporting import soundness
from tune.reporting.labels_csv import COLUMNS, why_no_table, write_labels
from tune.reporting.page import page
from tune.reporting.results import SearchResults
from tune.reporting.sheets import MOST, contact_sheets, policy_sheets, twelve
from tune.reporting.soundness import write_data_page
from tune.soundness.labels import Doubt, Judged
from tune.soundness.survey import Survey, survey_dataset

WRONG = (3, 40, 77)


def judged(dataset: Dataset) -> Judged:
    """Answers that contradict a few labels of the training images."""
    labels = dataset.train.labels.numpy()
    truth = labels.copy()
    truth[list(WRONG)] = (truth[list(WRONG)] + 1) % len(dataset.classes)
    probabilities = np.full((len(labels), len(dataset.classes)), 0.01, np.float32)
    probabilities[np.arange(len(labels)), truth] = 0.91
    return Judged(np.arange(len(labels)), probabilities, f"{len(labels)} images judged by folds")


@pytest.fixture
def results(dataset: Dataset) -> SearchResults:
    return replace(results_of(dataset, 4), judged=judged(dataset))


def part_of(text: str) -> str:
    """A report's part about the data."""
    return text[text.index('<h2 id="data">') : text.index('<details id="trials">')]


@pytest.mark.slow
def test_labels_that_are_contradicted_stand_in_the_report(
    results: SearchResults, dataset: Dataset
) -> None:
    part = part_of(page(results))
    shown = re.findall(r'title="(train image \d+)"><bdi>', part)
    assert set(shown) == {f"train image {number}" for number in WRONG}
    told = f"3 are doubtful, of {len(dataset.train)} images judged by folds"
    assert told in part
    first = int(dataset.train.labels[WRONG[0]])
    assert f"{first}, probably {(first + 1) % 10} (91%)" in part
    assert "data --search many" in part


def test_without_cleanlab_nothing_takes_its_place(
    results: SearchResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soundness, "is_installed", lambda: False)
    part = part_of(page(results))
    assert "doubtful, of" not in part
    assert "found by cleanlab: pip install &#39;resnet-tune[data-check]&#39;, then" in part


def test_the_report_counts_copies_and_says_how_even_classes_are(dataset: Dataset) -> None:
    part = part_of(page(results_of(dataset, 4)))
    names = re.findall(r'<td class="state \w+">(\w+)</td><td>(.*?)</td>', part)
    assert {"images", "duplicates", "balance"} <= {name for _, name in names}
    assert 'href="data.html"' in part


def test_the_page_of_a_search_takes_less_than_a_second_and_is_made_once(tmp_path: Path) -> None:
    photos = dataset_of([f"class {number}" for number in range(10)], images=20, side=256)
    config = DataConfig(image_size=224, source="image_folder", root=Path("photos"))
    start = time.process_time()
    path = write_data_page(tmp_path, config, photos)
    assert time.process_time() - start < 5  # a second on a machine that does nothing else
    text = path.read_text()
    assert text.count('<div class="policies">') == len(POLICIES)
    path.write_text("looked at")
    assert write_data_page(tmp_path, config, photos).read_text() == "looked at"


@pytest.mark.slow
@pytest.mark.parametrize(("size", "scheme"), SCREENS)
def test_the_page_fits_a_screen(
    size: tuple[int, int], scheme: str, tmp_path: Path, browser: Browser
) -> None:
    photos = dataset_of(["a class of a long name " * 4, "b", "c"], images=4, side=64)
    view, wrong = opened(browser, write_data_page(tmp_path, DataConfig(), photos), size, scheme)
    assert wrong == []
    width = view.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0]
    broken = "[...document.images].filter(one => !one.complete || !one.naturalWidth).length"
    assert view.evaluate(broken) == 0
    dark = view.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark == ("rgb(20, 24, 28)" if scheme == "dark" else "rgb(255, 255, 255)")


@pytest.fixture(scope="module")
def survey() -> Survey:
    return survey_dataset(dataset_of(["a", "b", "c"], images=3))


def test_sheets_show_images_of_every_class(survey: Survey) -> None:
    sheets = contact_sheets(survey)
    assert [(sheet.title, len(sheet.pictures)) for sheet in sheets] == [
        ("a", 9),
        ("b", 9),
        ("c", 9),
    ]
    assert len({picture.source for sheet in sheets for picture in sheet.pictures}) == 9
    labels = survey.labels[twelve(survey)]
    assert np.bincount(labels).tolist() == [4, 4, 4]


def test_of_very_many_classes_some_are_shown() -> None:
    many = survey_dataset(dataset_of([f"class {n}" for n in range(MOST + 20)], images=1))
    sheets = contact_sheets(many)
    assert len(sheets) == MOST
    assert {len(sheet.pictures) for sheet in sheets} == {1}


def test_policies_change_the_same_images_as_a_trial_would(survey: Survey) -> None:
    sheets = {sheet.title: sheet for sheet in policy_sheets(survey, DataConfig(mirror=True))}
    assert list(sheets) == list(POLICIES)
    names = [picture.name for picture in sheets["none"].pictures]
    assert len(names) == 12
    assert all([p.name for p in sheet.pictures] == names for sheet in sheets.values())
    shown = [tuple(p.source for p in sheet.pictures) for sheet in sheets.values()]
    assert len(set(shown)) == len(shown)
    plain = policy_sheets(survey, DataConfig(mirror=False))
    assert [sheet.title for sheet in plain if not sheet.pictures] == ["flip"]


def test_the_table_has_every_image_and_the_doubtful_first(tmp_path: Path, dataset: Dataset) -> None:
    survey = survey_dataset(dataset)
    doubts = [Doubt(77, (4,), 0.9, 0.01), Doubt(3, (1,), 0.8, 0.02)]
    write_labels(tmp_path / "labels.csv", survey, doubts)
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 1 + len(survey)
    assert rows[1] == ["train image 77", str(int(survey.labels[77])), "train", "4", "0.9000"]
    assert [row[0] for row in rows[2:4]] == ["train image 3", "train image 0"]
    assert {row[0] for row in rows[1:]} == set(survey.names)


def test_a_table_that_was_corrected_stays(tmp_path: Path, dataset: Dataset) -> None:
    path, survey = tmp_path / "labels.csv", survey_dataset(dataset)
    assert write_labels(path, survey, []) == path
    assert write_labels(path, survey, []) == path, "it says the same"
    path.write_text("corrected")
    for _ in range(2):
        assert write_labels(path, survey, []) == tmp_path / "labels-2.csv"
    doubts = [Doubt(3, (1,), 0.8, 0.02)]
    assert write_labels(path, survey, doubts) == tmp_path / "labels-3.csv"
    assert path.read_text() == "corrected"
    assert len(list(tmp_path.iterdir())) == 3


def test_the_table_keeps_images_of_a_group_together_and_their_weights(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows = ["path,label,group,weight"]
    for number in range(60):
        pixels = draw.integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        patient = f"p{number // 3}" if number < 48 else ""
        rows.append(f"{number}.png,{'ab'[number % 2]},{patient},{1 + number % 4}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    config = DataConfig(source="table", root=tmp_path / "labels.csv", image_size=16)
    before = load_dataset(config)
    write_labels(tmp_path / "again.csv", survey_dataset(before), [Doubt(7, (0,), 0.9, 0.01)])
    after = load_dataset(config.model_copy(update={"root": tmp_path / "again.csv"}))
    for name in ("train", "val", "test"):
        was, found = before.split(name), after.split(name)
        assert set(found.files) == set(was.files)
        weights = dict(zip(was.files, was.weights, strict=True))
        assert dict(zip(found.files, found.weights, strict=True)) == weights
        assert patients(found) == patients(was)


def test_the_table_has_two_links_to_one_file_and_names_of_any_bytes(tmp_path: Path) -> None:
    """As tools that keep versions of data store images: in one place, with links to it."""
    write_folders(tmp_path / "photos", ["ants", "bees"], 12)
    ants = tmp_path / "photos" / "ants"
    (ants / "0.png").rename(tmp_path / "stored")
    for name in (b"0.png", b"again.png", b"odd \xff.png"):
        (ants / os.fsdecode(name)).symlink_to(tmp_path / "stored")
    config = DataConfig(source="image_folder", root=tmp_path / "photos", image_size=12)
    before = load_dataset(config)
    write_labels(tmp_path / "labels.csv", survey_dataset(before), [])
    table = config.model_copy(update={"root": tmp_path / "labels.csv", "source": "table"})

    after = load_dataset(table)

    for name in ("train", "val", "test"):
        assert set(after.split(name).files) == set(before.split(name).files)


@pytest.mark.parametrize(("name", "is_told"), [("a|b", True), (" a", True), ("a b", False)])
def test_a_class_that_a_table_would_tell_otherwise_is_named(name: str, is_told: bool) -> None:
    found = why_no_table(survey_dataset(dataset_of([name, "c"])))
    told = f"a table cannot name class {name!r}, since it has bars between several labels"
    assert found.startswith(told) if is_told else not found


def patients(split: Split) -> set[frozenset[str]]:
    """The images that stay together."""
    groups: dict[int, set[str]] = {}
    for file, number in zip(split.files, split.together, strict=True):
        groups.setdefault(int(number), set()).add(file.name)
    return {frozenset(names) for names in groups.values()}
