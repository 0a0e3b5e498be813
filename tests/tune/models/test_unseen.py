"""A champion is compared with its challenger on images that neither has seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from numpy.typing import NDArray

from tests.helpers.challengers import (
    NAME,
    answers,
    challenger_of,
    classifier_of,
    config_of,
    new_run,
    record,
)
from tests.helpers.commands import DIGITS
from trainable.config import DataConfig
from trainable.data.datasets import Dataset, Split, load_dataset
from trainable.data.seen import Seen
from tune.config.loading import load_config
from tune.models import unseen
from tune.models.lookup import seen_by_registered
from tune.models.promotion import Standing, settle_champion

pytestmark = pytest.mark.usefixtures("small_networks")
Settle = Callable[..., Standing]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(load_config(DIGITS, ["data.image_size=16"]).data)


@pytest.fixture
def client(empty_database: Path, tmp_path: Path) -> MlflowClient:
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    client.create_experiment("digits", artifact_location=(tmp_path / "artifacts").as_uri())
    return client


@pytest.fixture
def enter(client: MlflowClient) -> Settle:
    """Let a model that has seen some images, and is right about so many, be settled."""

    def settle(dataset: Dataset, right: int, seen: Seen | None) -> Standing:
        test, run_id = answers(dataset, right), new_run(client)
        record(client, run_id, dataset, test)
        challenger = challenger_of(
            classifier_of(dataset.classes, seen, arch="small"), dataset, test
        )
        return settle_champion(client, config_of("not-worse"), challenger, run_id)

    return settle


def resplit(dataset: Dataset, test: NDArray[np.bool_]) -> Dataset:
    """The same images, of which a mask says which are tested on; none is validated on."""
    splits = [dataset.train, dataset.val, dataset.test]
    images = np.concatenate([split.images for split in splits])
    labels = np.concatenate([split.labels for split in splits])
    hashes = np.concatenate([split.hashes for split in splits])

    def part(where: NDArray[np.bool_]) -> Split:
        return Split(
            *(dataset.train.images.new_tensor(images[where]),),
            dataset.train.labels.new_tensor(labels[where]),
            hashes=hashes[where],
            groups=hashes[where],
            looks=np.zeros(int(where.sum()), np.uint64),
        )

    nothing = np.zeros(len(test), np.bool_)
    return replace(dataset, train=part(~test), val=part(nothing), test=part(test))


def drawn(dataset: Dataset, seed: int, count: int) -> NDArray[np.bool_]:
    total = len(dataset.train) + len(dataset.val) + len(dataset.test)
    chosen = np.zeros(total, np.bool_)
    chosen[np.random.default_rng(seed).permutation(total)[:count]] = True
    return chosen


def test_images_that_the_champion_trained_on_are_left_out_and_their_number_is_said(
    enter: Settle, dataset: Dataset
) -> None:
    first, second = (resplit(dataset, drawn(dataset, seed, 600)) for seed in (0, 1))
    enter(first, 500, Seen.of(first))
    standing = enter(second, 590, Seen.of(second))

    both = len(set(first.test.hashes.tolist()) & set(second.test.hashes.tolist()))
    found = standing.comparison
    assert found is not None
    assert (found.images, found.left_out) == (both, 600 - both)
    assert f"on the {both} of 600 test images that neither has seen in training" in standing.reason
    fresh = np.isin(second.test.hashes, first.test.hashes)
    assert found.challenger == pytest.approx(answers(second, 590).right[fresh].mean())


@pytest.mark.slow
def test_where_too_few_are_left_it_is_said_and_nothing_is_promoted(
    enter: Settle, client: MlflowClient, dataset: Dataset
) -> None:
    test = drawn(dataset, 0, 300)
    others = test.copy()
    others[np.flatnonzero(test)[20:]] = False
    others[np.flatnonzero(~test)[:280]] = True
    first, second = resplit(dataset, test), resplit(dataset, others)
    enter(first, 200, Seen.of(first))
    standing = enter(second, 300, Seen.of(second))

    assert standing.reason == (
        "version 1 or the challenger has seen 280 of the 300 test images, or duplicates of them, "
        "and the 20 that remain are too few (fewer than 30): it cannot be compared"
    )
    assert not standing.promoted
    assert standing.comparison is None


@pytest.mark.slow
def test_an_old_champion_that_was_tested_on_the_same_images_is_compared_on_all(
    enter: Settle, dataset: Dataset
) -> None:
    enter(dataset, 300, None)
    standing = enter(dataset, 310, Seen.of(dataset))

    assert standing.comparison is not None
    assert standing.comparison.left_out == 0
    assert f"on the same {len(dataset.test)} test images" in standing.reason


@pytest.mark.slow
def test_an_old_champion_whose_answers_are_not_those_it_serves_is_shown_the_same_images(
    enter: Settle, client: MlflowClient, dataset: Dataset
) -> None:
    enter(dataset, 300, None)
    run = client.get_run(client.get_model_version(NAME, "1").run_id)
    path = Path(run.info.artifact_uri.removeprefix("file://")) / "test.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "served": False}))
    standing = enter(dataset, 310, Seen.of(dataset))

    assert standing.comparison is not None
    assert standing.comparison.champion < 0.3  # it has random weights


@pytest.mark.slow
def test_of_an_old_champion_that_was_tested_on_others_it_is_said_that_it_cannot_be_known(
    enter: Settle, dataset: Dataset
) -> None:
    first, second = (resplit(dataset, drawn(dataset, seed, 600)) for seed in (0, 1))
    enter(first, 500, None)
    standing = enter(second, 590, Seen.of(second))

    assert not standing.promoted
    assert standing.reason == (
        "version 1 was tested on other images, and which ones it was trained on is not known: "
        "it cannot be compared"
    )


@pytest.mark.slow
def test_of_an_old_champion_whose_images_are_still_here_it_is_known(
    enter: Settle, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (resplit(dataset, drawn(dataset, seed, 600)) for seed in (0, 1))
    enter(first, 500, None)
    monkeypatch.setattr(unseen, "same_dataset_of", lambda *_: first)
    standing = enter(second, 590, Seen.of(second))

    assert standing.comparison is not None
    assert standing.comparison.left_out > 300


@pytest.mark.slow
def test_hashes_of_files_say_nothing_about_pixels(enter: Settle, dataset: Dataset) -> None:
    first, second = (resplit(dataset, drawn(dataset, seed, 600)) for seed in (0, 1))
    enter(first, 500, replace(Seen.of(first), of_files=True))

    assert "is not known" in enter(second, 590, Seen.of(second)).reason


@pytest.mark.slow
def test_test_images_that_the_challenger_itself_trained_on_do_not_count(
    enter: Settle, dataset: Dataset
) -> None:
    leaking = resplit(dataset, drawn(dataset, 0, 300))
    groups = leaking.test.groups.copy()
    groups[:100] = leaking.train.groups[:100]
    leaking = replace(leaking, test=replace(leaking.test, groups=groups))
    enter(leaking, 200, Seen.of(leaking))
    standing = enter(leaking, 300, Seen.of(leaking))

    assert standing.comparison is not None
    assert (standing.comparison.images, standing.comparison.left_out) == (200, 100)


def test_a_registered_model_carries_what_it_has_seen(
    enter: Settle, client: MlflowClient, dataset: Dataset
) -> None:
    enter(dataset, 300, Seen.of(dataset))

    seen = seen_by_registered(client, client.get_model_version(NAME, "1"))

    assert seen is not None
    expected = {*dataset.train.hashes.tolist(), *dataset.val.hashes.tolist()}
    assert set(seen.hashes.tolist()) == expected
    assert not seen.of_files
    assert seen.unseen(dataset).all()


def test_more_images_leave_the_champion_comparable_on_its_own_test_images(tmp_path: Path) -> None:
    whole = load_dataset(DataConfig())
    fewer = load_dataset(DataConfig(limit=600))

    assert Seen.of(fewer).unseen(whole).all()
    assert Seen.of(whole).unseen(fewer).all()
