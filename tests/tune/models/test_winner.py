"""A winner is the same, on whatever machine it is chosen and tested."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ray import cloudpickle

from tests.helpers.conclusions import PLUGIN, Ended, ended_search
from tests.helpers.plugins import use_plugin
from trainable.checkpoints import BEST
from trainable.data.datasets import load_dataset
from trainable.files.remote import place_at
from tune.models.contest import Contest, contest_of
from tune.models.winner import hold, hold_elsewhere
from tune.strategy.confirmation import finalists, ranked
from tune.study.ledger import Ledgers
from tune.study.shared import TrialFolders


@pytest.fixture(scope="module", autouse=True)
def _small_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        use_plugin(PLUGIN, patch)
        yield


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    return ended_search(tmp_path_factory.mktemp("ended"))


@pytest.fixture
def contest(ended: Ended) -> Contest:
    ledgers = Ledgers(ended.searched, ended.confirmed, ended.refitted)
    assert ended.confirmed is not None
    order = ranked(finalists(ended.searched.trials.values(), 2), ended.confirmed.trials.values())
    fingerprint = ended.search.data_fingerprint
    return contest_of(ended.home.trials, order, ledgers, fingerprint, with_soup=True)


@pytest.fixture
def in_a_bucket(ended: Ended, contest: Contest) -> Contest:
    """The same, with its checkpoints in a bucket."""
    for path in ended.home.folder.glob("*/*.pt"):
        place_at(f"memory://ended/{path.parent.name}").write(path.name, path.read_bytes())
    return replace(contest, folders=TrialFolders("memory://ended"))


@pytest.mark.slow
def test_it_is_sent_to_another_machine_and_its_model_comes_back(in_a_bucket: Contest) -> None:
    here = hold(in_a_bucket)
    content = cloudpickle.dumps(in_a_bucket.without_addresses())
    assert b"optuna.db" in cloudpickle.dumps(in_a_bucket)
    assert b"optuna.db" not in content
    sent = pickle.loads(content)
    there = pickle.loads(cloudpickle.dumps(hold_elsewhere(sent))).unpacked()
    for name in ("name", "ingredients", "epoch", "score", "calibration", "remark", "faults"):
        assert getattr(there, name) == getattr(here, name), name
    assert there.faults == ()
    assert torch.equal(there.test.logits, here.test.logits)
    images = load_dataset(in_a_bucket.best.search.data).test.images
    np.testing.assert_array_equal(
        there.classifier.probabilities(images), here.classifier.probabilities(images)
    )


def test_a_machine_with_other_images_is_refused_by_its_name(contest: Contest) -> None:
    with pytest.raises(ValueError, match=r"^the images on \S+ are not those with which"):
        hold_elsewhere(replace(contest, fingerprint="other"))


def test_what_fails_comes_back_in_words_with_its_traceback(
    contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise AttributeError("of a plugin")

    monkeypatch.setattr("tune.models.winner.soup", broken)
    (fault,) = hold_elsewhere(contest).unpacked().faults
    assert (fault.what, fault.reason) == (
        "the soup of the finalists",
        "AttributeError: of a plugin",
    )
    assert "Traceback" in str(fault.trace)


def test_checkpoints_that_are_gone_are_trained_again(in_a_bucket: Contest, tmp_path: Path) -> None:
    place_at(in_a_bucket.folders.trial(in_a_bucket.best.log.number, in_a_bucket.best.kind)).delete(
        BEST
    )
    with pytest.warns(UserWarning, match=r"memory://ended/.*best\.pt cannot be read .* run again"):
        assert hold(replace(in_a_bucket, mixed=())).name == "single"
