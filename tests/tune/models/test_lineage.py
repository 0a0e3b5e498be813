"""What is known of a registered model's search, and the test images it had."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from PIL import Image

from tests.helpers.searches import FinishedSearch
from trainable.config import DataConfig
from trainable.data.datasets import load_dataset
from trainable.judging.predictions import Predictions
from tune.base.errors import ConfigError
from tune.models.lineage import Origin, RecordedData, read_again, read_origin, same_dataset_of
from tune.tracking.schema import Tag
from tune.webapp.examples import EXAMPLES, HeldOut, draw, held_out_of, mistakes

NAME = "resnet18-digits"


@pytest.fixture(autouse=True)
def no_cached_data() -> Iterator[None]:
    load_dataset.cache_clear()
    yield
    load_dataset.cache_clear()


@pytest.fixture(scope="module")
def version(finished_search: FinishedSearch) -> ModelVersion:
    return finished_search.client.get_model_version(NAME, "1")


@pytest.fixture(scope="module")
def origin(finished_search: FinishedSearch, version: ModelVersion) -> Origin:
    return read_origin(finished_search.client, version)


@pytest.fixture
def held_out(finished_search: FinishedSearch, version: ModelVersion) -> HeldOut:
    return held_out_of(finished_search.client, version)


@pytest.fixture
def own_record(finished_search: FinishedSearch, tmp_path: Path) -> MlflowClient:
    """A record that a test may change."""
    shutil.copy(finished_search.folder / "mlflow.db", tmp_path)
    return MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_its_trials_have_the_epochs_that_were_recorded(
    origin: Origin, finished_search: FinishedSearch
) -> None:
    runs = finished_search.runs("trial")
    assert [log.number for log in origin.trials] == list(range(5))
    for log, run in zip(origin.trials, runs, strict=True):
        history = finished_search.client.get_metric_history(run.info.run_id, "val_acc")
        told = {metric.step: metric.value for metric in history}
        assert [epoch.metrics["val_acc"] for epoch in log.epochs] == [
            told[epoch] for epoch in range(1, len(told) + 1)
        ]
        assert log.state.name == run.data.tags["tune.state"]
        assert log.params == run.data.params


def test_its_test_is_the_one_it_is_tagged_with(origin: Origin, version: ModelVersion) -> None:
    assert origin.test is not None
    assert origin.test.accuracy == pytest.approx(float(version.tags["test_acc"]))
    assert origin.search == "first"


def test_the_test_of_a_later_winner_is_not_taken_for_its_own(
    own_record: MlflowClient, version: ModelVersion
) -> None:
    own_record.set_model_version_tag(NAME, "1", "tune.best_trial", "99")

    origin = read_origin(own_record, own_record.get_model_version(NAME, "1"))

    assert origin.test is None
    assert len(origin.trials) == 5


def test_a_version_without_a_record_is_told(own_record: MlflowClient) -> None:
    source = own_record.get_model_version_download_uri(NAME, "1")
    lone = own_record.create_model_version(NAME, source)

    with pytest.raises(ConfigError, match="version 2: it comes from no recorded search"):
        read_origin(own_record, lone)


def test_a_search_whose_record_was_deleted_for_good_is_told(
    own_record: MlflowClient,
) -> None:
    version = ModelVersion(NAME, "3", 0, run_id="0" * 32)

    with pytest.raises(ConfigError, match="version 3: the record of its search cannot be read"):
        read_origin(own_record, version)


def test_the_held_out_images_are_the_searchs(origin: Origin, held_out: HeldOut) -> None:
    assert len(held_out.split) > 300
    assert origin.test is not None
    assert torch.equal(held_out.split.labels, origin.test.labels)
    picture = held_out.picture(7)
    assert picture.truth == held_out.classes[int(origin.test.labels[7])]
    assert torch.equal(picture.image, held_out.split.images[7])


def folder_of(root: Path, shade: int) -> Path:
    for label, name in enumerate(("ants", "bees")):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(10):
            colour = (shade + 10 * label, number, 0)
            Image.new("RGB", (12, 12), colour).save(root / name / f"{number}.png")
    return root


def test_images_that_have_gone_or_changed_are_told(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "photos", 50)
    data = DataConfig(source="image_folder", root=root, image_size=16)
    then = RecordedData(data, load_dataset(data).test_fingerprint())
    load_dataset.cache_clear()
    assert read_again(then).test_fingerprint() == then.fingerprint

    load_dataset.cache_clear()
    folder_of(root, 90)
    with pytest.raises(ConfigError, match="its test images have changed since"):
        read_again(then)
    load_dataset.cache_clear()
    shutil.rmtree(root)
    with pytest.raises(ConfigError, match=r"its images are no longer here: .*photos is not"):
        read_again(then)


def test_all_images_of_a_search_are_read_again_if_all_are_as_they_were(
    own_record: MlflowClient, version: ModelVersion
) -> None:
    tags = own_record.get_run(version.run_id).data.tags
    assert same_dataset_of(own_record, version).fingerprint == tags[Tag.DATA]

    own_record.set_tag(version.run_id, Tag.DATA, "of one training image more")
    with pytest.raises(ConfigError, match="its images have changed since"):
        same_dataset_of(own_record, version)


def test_cifar_that_is_not_here_is_not_downloaded(tmp_path: Path) -> None:
    gone = RecordedData(DataConfig(source="cifar10", root=tmp_path), "0" * 64)

    with pytest.raises(ConfigError, match="no longer here"):
        read_again(gone)
    assert list(tmp_path.iterdir()) == []


def test_other_pages_draw_other_images(held_out: HeldOut) -> None:
    names = [[picture.name for picture in draw(held_out, page)] for page in (0, 0, 1)]

    assert len(set(names[0])) == EXAMPLES
    assert names[0] == names[1] != names[2]


def test_mistakes_are_shown_the_surest_first(held_out: HeldOut) -> None:
    logits = torch.nn.functional.one_hot(held_out.split.labels, 10).float()
    logits[:3] = logits[:3].roll(1, dims=1) * torch.tensor([1, 3, 2])[:, None]

    shown = mistakes(held_out, Predictions(logits, held_out.split.labels))

    assert [picture.name for picture in shown] == ["Test image 1", "Test image 2", "Test image 0"]
