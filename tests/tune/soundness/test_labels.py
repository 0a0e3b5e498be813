"""Doubtful labels, by cleanlab."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.results import dataset_of
from tune.base.errors import ConfigError
from tune.soundness import labels
from tune.soundness.labels import (
    Doubt,
    Judged,
    check_installed,
    described,
    doubtful,
    doubtful_of_several,
)
from tune.soundness.survey import survey_dataset

CLASSES = 3


def judged(true: np.ndarray, left_out: int = 0) -> Judged:
    """Answers that are right of most images, and sure; the first few images are not judged."""
    draw = np.random.default_rng(0)
    probabilities = draw.dirichlet(np.ones(CLASSES), len(true)) * 0.2
    probabilities[np.arange(len(true)), true] += 0.8
    rows = np.arange(left_out, len(true))
    return Judged(rows, probabilities[left_out:].astype(np.float32), "all of them")


def test_planted_wrong_labels_are_found_and_the_others_are_not() -> None:
    true = np.arange(300) % CLASSES
    given = true.copy()
    wrong = [7, 50, 123, 200]
    given[wrong] = (given[wrong] + 1) % CLASSES
    found = doubtful(judged(true), given)
    assert {doubt.index for doubt in found} == set(wrong)
    assert {doubt.index: doubt.suggested for doubt in found} == {i: (true[i],) for i in wrong}
    assert [doubt.quality for doubt in found] == sorted(doubt.quality for doubt in found)


def test_indices_are_those_of_all_images() -> None:
    true = np.arange(300) % CLASSES
    given = true.copy()
    given[123] = (given[123] + 1) % CLASSES
    (doubt,) = doubtful(judged(true, left_out=100), given)
    assert doubt.index == 123
    assert doubt.probability > 0.8 > doubt.quality


def test_a_class_of_which_no_image_was_judged_is_no_obstacle() -> None:
    true = np.arange(300) % 2  # of three classes
    given = true.copy()
    wrong = [10, 31, 56, 87, 120, 199]
    given[wrong] = 1 - given[wrong]
    found = {doubt.index for doubt in doubtful(judged(true), given)}
    assert len(found) > 2
    assert found <= set(wrong)
    assert doubtful(judged(true), np.zeros(300, np.int64)) == []


class TestSeveral:
    """Of any number of labels an image, each is doubted on its own."""

    COUNT, SHARES = 600, (0.5, 0.3, 0.1, 0.02)

    def planted(self, share: float = 0.05) -> tuple[np.ndarray, np.ndarray, Judged]:
        """Labels of which some were turned round, which, and answers right of 19 in 20."""
        draw = np.random.default_rng(0)
        true = draw.random((self.COUNT, len(self.SHARES))) < self.SHARES
        turned = draw.random(true.shape) < share
        odds = np.where(true, 2.5, -2.5) + draw.normal(0, 1.5, true.shape)
        answers = (1 / (1 + np.exp(-odds))).astype(np.float32)
        return true ^ turned, turned, Judged(np.arange(self.COUNT), answers, "all of them")

    def test_planted_wrong_labels_are_found_far_above_chance(self) -> None:
        given, turned, answers = self.planted()
        doubts = doubtful_of_several(answers, given.astype(np.uint8))
        found = np.zeros(given.shape, bool)
        for doubt in doubts:
            assert not found[doubt.index].any(), "each image comes once"
            found[doubt.index, [label for label, _ in doubt.doubted]] = True
        both = (found & turned).sum()
        assert both / turned.sum() > 0.7
        assert both / found.sum() > 10 * turned.mean()
        assert [doubt.quality for doubt in doubts] == sorted(doubt.quality for doubt in doubts)

    def test_a_doubt_says_which_label_is_wrong_and_what_the_image_is_without_it(self) -> None:
        given, _, answers = self.planted()
        for doubt in doubtful_of_several(answers, given.astype(np.uint8)):
            row, has = answers.probabilities[doubt.index], given[doubt.index]
            wrong = [value for _, value in doubt.doubted]
            assert wrong == sorted(wrong, reverse=True)
            assert doubt.probability == wrong[0] == pytest.approx(1 - doubt.quality)
            turned = set(np.flatnonzero(has)) ^ {label for label, _ in doubt.doubted}
            assert set(doubt.suggested) == turned
            for label, value in doubt.doubted:
                assert value == pytest.approx(1 - row[label] if has[label] else row[label])
                assert value > 0.5

    def test_only_what_was_judged_is_doubted_and_indices_are_those_of_all_images(self) -> None:
        given, _, answers = self.planted()
        late = replace(
            answers, indices=np.arange(200, 600), probabilities=answers.probabilities[200:]
        )
        doubts = doubtful_of_several(late, given.astype(np.uint8))
        assert min(doubt.index for doubt in doubts) >= 200
        alone = replace(late, indices=np.arange(400))
        shifted = doubtful_of_several(alone, given[200:].astype(np.uint8))
        assert [doubt.index for doubt in doubts] == [doubt.index + 200 for doubt in shifted]

    @pytest.mark.parametrize("has", [0, 1])
    def test_a_label_of_no_image_or_of_all_is_no_obstacle(self, has: int) -> None:
        given, _, answers = self.planted()
        targets = given.astype(np.uint8)
        expected = doubtful_of_several(answers, targets)
        targets[:, 3] = has
        found = doubtful_of_several(answers, targets)
        assert {label for doubt in found for label, _ in doubt.doubted} == {0, 1, 2}
        assert len(found) <= len(expected)
        targets[:] = has
        assert doubtful_of_several(answers, targets) == []

    def test_it_is_told_in_words_with_the_label(self) -> None:
        targets = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1]], np.uint8)
        dataset = dataset_of(["cat", "dog", "bird"], images=1)
        split = replace(dataset.train, targets=targets)
        survey = survey_dataset(replace(dataset, train=split, val=split, test=split))
        both = Doubt(0, (0, 2), 0.93, 0.07, ((1, 0.93), (2, 0.88)))
        assert described(both, survey) == "cat|dog, probably without dog (93%) and with bird (88%)"
        lacking = Doubt(1, (1,), 0.7, 0.3, ((1, 0.7),))
        assert described(lacking, survey) == "no label, probably with dog (70%)"
        assert described(Doubt(2, (1,), 0.7, 0.3), survey_dataset(dataset)) == (
            "bird, probably dog (70%)"
        )


def test_without_cleanlab_it_is_said_how_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed()
    monkeypatch.setattr(labels, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"cleanlab, .*: pip install 'resnet-tune\[data-check\]'"):
        check_installed()
