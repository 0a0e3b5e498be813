"""The report of a model whose images have any number of labels."""

from __future__ import annotations

import csv
import html
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.label_sets import write_table
from tests.helpers.results import dataset_of, results_of
from trainable.config import DataConfig
from trainable.data.datasets import load_dataset
from trainable.data.split import Split
from trainable.inference.calibration import Calibration
from trainable.judging.predictions import Predictions
from trainable.runtime import ImageCache
from tune.engine.known_by import trust_of
from tune.reporting.data_lines import doubts_as_json
from tune.reporting.files import write_report
from tune.reporting.labels_csv import write_labels
from tune.reporting.page import page
from tune.reporting.predictions import answer_of, truth_of, worst_mistakes
from tune.reporting.reliability import reliability, reliability_caption
from tune.reporting.results import SearchResults
from tune.reporting.soundness import account_after, doubts_of
from tune.soundness.account import examine
from tune.soundness.labels import Doubt, Judged
from tune.soundness.survey import survey_dataset
from tune.strategy.confirmation import Finalist

NAMES = ("red", "round", "<big>")
WRONG = ((3, 0), (7, 1), (11, 2))
"""Images, each with a label that is contradicted."""
WORDS = ("objective.metric=val_map", "objective.also=[val_micro_f1]")


def several(split: Split) -> Split:
    targets = np.random.default_rng(0).integers(0, 2, (len(split), 3), np.uint8)
    targets[0] = 0
    return replace(split, targets=targets)


@pytest.fixture
def results() -> SearchResults:
    dataset = dataset_of(NAMES, images=10)
    split = several(dataset.test)
    dataset = replace(dataset, train=split, val=split, test=split)
    found = results_of(dataset, 4, *WORDS)
    truth = split.truth
    assert truth is not None
    logits = 3 * (2 * truth.float() - 1)
    logits[0, 0], logits[1] = 1.0, -5 * logits[1]
    return replace(
        found,
        test=Predictions(logits, split.labels, truth),
        finalists=(Finalist(found.ledger.trials[0]),),
        number=3,
    )


def test_its_report_has_what_is_defined_for_labels(results: SearchResults, tmp_path: Path) -> None:
    files = {path.name: path for path in write_report(results, tmp_path)}
    assert "confusion.png" not in files
    assert "mistakes.png" in files
    text = files["report.html"].read_text()
    headings = re.findall(r"<h2>([^<]+)</h2>", text)
    assert {"Precision and recall", "Calibration"} <= set(headings)
    assert not {"Confusion", "Most confused"} & set(headings)
    test, split = results.test, results.dataset.test
    assert test is not None
    counts = [int(split.targets[:, label].sum()) for label in range(3)]
    assert f"<td><bdi>red</bdi></td>{3 * f'<td>{counts[0]}</td>'}" in text
    assert f"{test.mean_average_precision:.2%}" in text
    assert f"{test.micro_f1:.2%}" in text
    card = files["MODEL_CARD.md"].read_text()
    assert "which of its 3 labels an image has" in card
    assert "It answers one of its" not in card


def test_the_reliability_of_labels_is_shown_before_and_after_calibration(
    results: SearchResults,
) -> None:
    test = results.test
    assert test is not None
    assert test.truth is not None
    (bars, _) = reliability(results).data
    assert sum(map(int, bars.text)) == test.truth.numel()
    calibrated = replace(results, calibration=Calibration(1.5, 0.85))
    figure = reliability(calibrated)
    for series, found in zip(figure.data, (test, calibrated.served), strict=False):
        assert np.dot(series.y, series.customdata) == pytest.approx(test.truth.sum())
        assert series.name.endswith(f"error {found.calibration_error():.3f}")
    assert sorted(shape.x0 for shape in figure.layout.shapes) == pytest.approx([0.15, 0.85])
    assert figure.layout.xaxis.title.text == "probability of a label"
    caption = reliability_caption(calibrated)
    assert "between 15.0% and 85.0% (dashed)" in caption
    sure = calibrated.calibration.is_sure(test)
    assert f"{sure.mean():.0%} of the answers are sure" in caption
    told = trust_of(calibrated, test)
    assert told["test_sure"] == pytest.approx(sure.mean())
    assert told["test_calibration_error"] == calibrated.served.calibration_error()


def test_a_mistake_is_an_image_of_which_a_label_is_wrong(results: SearchResults) -> None:
    test = results.test
    assert test is not None
    assert worst_mistakes(test).tolist() == [1, 0]
    assert truth_of(test, NAMES, 0) == "no label"
    assert answer_of(test, NAMES, 0) == "red"
    assert torch.allclose(test.sureness[0], torch.tensor(1.0).sigmoid())


class TestDoubts:
    """Labels that are doubted, each on its own."""

    @pytest.fixture
    def doubted(self, results: SearchResults) -> SearchResults:
        """Of three training images a label is contradicted: one has it, two lack it."""
        train = results.dataset.train
        probabilities = np.where(train.targets == 1, 0.9, 0.1).astype(np.float32)
        for image, label in WRONG:
            probabilities[image, label] = 1 - probabilities[image, label]
        judged = Judged(np.arange(len(train)), probabilities, f"{len(train)} images")
        return replace(results, judged=judged)

    def test_the_gallery_says_which_label_of_an_image_is_doubted(
        self, doubted: SearchResults
    ) -> None:
        text = page(doubted)
        part = html.unescape(text[text.index('<h2 id="data">') : text.index('id="trials"')])
        assert f"{len(WRONG)} are doubtful, of {len(doubted.dataset.train)} images" in part
        survey = account_after(doubted).survey
        for image, label in WRONG:
            has = doubted.dataset.train.targets[image, label]
            told = f"probably {'without' if has else 'with'} {NAMES[label]} (90%)"
            assert f"{survey.label_of(image) or 'no label'}, {told}" in part

    def test_the_document_has_the_labels_with_their_probabilities(
        self, doubted: SearchResults
    ) -> None:
        account = account_after(doubted)
        found = doubts_as_json(account, doubts_of(doubted, account) or [], "all")["doubtful"]
        by_image = {each["image"]: each for each in found}
        assert len(found) == len(WRONG)
        for image, label in WRONG:
            told = by_image[f"train image {image}"]
            assert told["doubted"] == {NAMES[label]: pytest.approx(0.9)}
            before, after = (set(filter(None, told[k].split("|"))) for k in ("class", "suggested"))
            assert before ^ after == {NAMES[label]}

    def test_the_table_has_all_labels_and_can_be_trained_from(self, tmp_path: Path) -> None:
        config = DataConfig(
            source="table", root=write_table(tmp_path, 80), image_size=16, labels="several"
        )
        dataset = load_dataset(config)
        survey = survey_dataset(dataset)
        doubts = [Doubt(5, (), 0.9, 0.1, ((1, 0.9), (0, 0.8)))]
        write_labels(tmp_path / "again.csv", survey, doubts)
        with (tmp_path / "again.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(survey) == 80
        assert rows[0]["doubted"] == "right|left"
        assert (rows[0]["suggested"], rows[0]["probability"]) == ("", "0.9000")
        assert {row["doubted"] for row in rows[1:]} == {""}
        again = load_dataset(config.model_copy(update={"root": tmp_path / "again.csv"}))
        assert again.classes == dataset.classes
        for name in ("train", "val", "test"):
            was, found = (
                dict(zip(s.files, s.targets.tolist(), strict=True))
                for s in (dataset.split(name), again.split(name))
            )
            assert found == was

    def test_copies_of_other_labels_disagree_though_the_rarest_is_one(self, tmp_path: Path) -> None:
        table = write_table(tmp_path, 60)
        with table.open(newline="") as file:
            first = next(row for row in csv.DictReader(file) if row["label"] == "left|top")
        shutil.copy(tmp_path / first["path"], tmp_path / "images" / "copy.png")
        with table.open("a") as file:
            file.write("images/copy.png,top\n")
        config = DataConfig(source="table", root=table, image_size=16, labels="several")
        (copies,) = examine(config, ImageCache()).copies
        assert copies.classes == ("left|top", "top")
        assert copies.disagrees
