"""What a search's models say of images that they were not trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.helpers.commands import DIGITS
from tests.helpers.results import add_trial
from tests.helpers.studies import ledger_in_memory
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.parts import SPLITS
from trainable.judging.predictions import Predictions
from trainable.judging.validated import keep_validated
from tune.config.loading import load_config
from tune.models.held_out import held_out
from tune.strategy.confirmation import Finalist
from tune.study.folder import SearchFolder
from tune.study.ledger import Ledger, Ledgers

WORDS = ("data.image_size=16", "data.limit=200")


@pytest.fixture
def home(tmp_path: Path) -> SearchFolder:
    return SearchFolder("one", tmp_path)


@pytest.fixture(scope="module")
def whole() -> Dataset:
    return load_dataset(load_config(DIGITS, WORDS).data)


def searched() -> Ledger:
    ledger = ledger_in_memory(load_config(DIGITS, WORDS))
    add_trial(ledger, [0.5, 0.9])
    return ledger


def confirmed(*folds: str) -> Ledger:
    """Runs on folds."""
    ledger = ledger_in_memory(load_config(DIGITS, WORDS))
    ledger.kind = "confirm"
    for number, fold in enumerate(folds):
        add_trial(ledger, [0.8])
        ledger.trials[number].params["data.fold"] = fold
    return ledger


def marked(where: NDArray[np.int64], whole: Dataset, shift: float = 0.0) -> Predictions:
    """Answers that tell which image each is about."""
    logits = torch.zeros(len(where), len(whole.classes))
    logits[:, 0] = torch.from_numpy(where) / 100 + shift
    return Predictions(logits, torch.zeros(len(where), dtype=torch.int64))


def places(whole: Dataset, fold: str) -> NDArray[np.int64]:
    pool = whole.folded(fold).pool
    assert pool is not None
    return torch.as_tensor(pool.places["val"]).numpy()


def test_runs_on_folds_judge_every_image_but_the_test_ones(
    whole: Dataset, home: SearchFolder
) -> None:
    folds = ("1/3", "2/3", "3/3")
    first, runs = searched(), confirmed(*folds)
    for number, fold in enumerate(folds):
        keep_validated(home.trial(number, "confirm"), marked(places(whole, fold), whole))
    winner = Finalist(first.trials[0], list(runs.trials.values()))
    found = held_out(winner, Ledgers(first, runs), home, whole, None)
    assert found is not None
    count = len(whole.train) + len(whole.val)
    assert found.indices.tolist() == list(range(count))
    expected = marked(np.arange(count), whole).probabilities
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-5)
    assert found.how == (
        f"{count:,} training and validation images judged by the winner's runs on 3 folds"
    )


def test_an_image_that_several_divisions_judge_has_their_mean(
    whole: Dataset, home: SearchFolder
) -> None:
    folds = ("1/2", "2/2", "1/2r2")
    first, runs = searched(), confirmed(*folds)
    for number, (fold, shift) in enumerate(zip(folds, (0, 0, 3), strict=True)):
        keep_validated(home.trial(number, "confirm"), marked(places(whole, fold), whole, shift))
    winner = Finalist(first.trials[0], list(runs.trials.values()))
    found = held_out(winner, Ledgers(first, runs), home, whole, None)
    assert found is not None
    at = int(places(whole, "1/2r2")[0])
    one, two = (marked(np.array([at]), whole, shift).probabilities[0] for shift in (0, 3))
    np.testing.assert_allclose(found.probabilities[at], (one + two) / 2, rtol=1e-5)


def test_without_folds_the_validation_and_the_test_images_are_judged(
    whole: Dataset, home: SearchFolder
) -> None:
    first = searched()
    keep_validated(
        home.trial(0), marked(np.arange(len(whole.train), len(whole.train) + len(whole.val)), whole)
    )
    test = marked(np.arange(len(whole.test)), whole)
    found = held_out(Finalist(first.trials[0]), Ledgers(first), home, whole, test)
    assert found is not None
    assert len(found.indices) == len(whole.val) + len(whole.test)
    assert found.indices[0] == len(whole.train)
    assert found.how == (
        f"{len(whole.val)} validation images judged by the winner and {len(whole.test)} test "
        "images judged by the search's model"
    )


def test_answers_that_are_not_recorded_are_not_made_unless_asked_for(
    whole: Dataset, home: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, asked = searched(), []
    winner = Finalist(first.trials[0])
    assert held_out(winner, Ledgers(first), home, whole, None) is None

    class Tuner:
        def evaluate(self, split: str) -> Predictions:
            asked.append(split)
            return marked(np.arange(len(whole.val)), whole)

    monkeypatch.setattr("tune.models.held_out.trained", lambda run, home: Tuner())
    found = held_out(winner, Ledgers(first), home, whole, None, again=True)
    assert found is not None
    assert asked == ["val"]


def test_of_several_labels_each_has_a_probability_of_its_own(
    whole: Dataset, home: SearchFolder
) -> None:
    splits = {
        name: replace(split, targets=np.zeros((len(split), len(whole.classes)), np.uint8))
        for name in SPLITS
        for split in [whole.split(name)]
    }
    several, first = replace(whole, **splits), searched()
    places = np.arange(len(whole.train), len(whole.train) + len(whole.val))
    given = marked(places, whole)
    answers = Predictions(given.logits, given.labels, several.val.truth)
    keep_validated(home.trial(0), answers)
    found = held_out(Finalist(first.trials[0]), Ledgers(first), home, several, None)
    assert found is not None
    assert found.indices.tolist() == places.tolist()
    np.testing.assert_allclose(found.probabilities, given.logits.sigmoid().numpy(), rtol=1e-6)
