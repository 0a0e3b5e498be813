"""Doubtful labels, by cleanlab."""

from __future__ import annotations

import numpy as np
import pytest

from tune.base.errors import ConfigError
from tune.soundness import labels
from tune.soundness.labels import Judged, check_installed, doubtful

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
    assert {doubt.index: doubt.suggested for doubt in found} == {i: true[i] for i in wrong}
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


def test_without_cleanlab_it_is_said_how_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed()
    monkeypatch.setattr(labels, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"cleanlab, .*: pip install 'resnet-tune\[data-check\]'"):
        check_installed()
