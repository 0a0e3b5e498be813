"""`python -m tune.export`: what is written, and what is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

from tests.helpers.doors import invoke
from tests.helpers.networks import random_state
from tests.helpers.searches import FinishedSearch
from trainable.config import DataConfig, TrialConfig
from trainable.data.datasets import load_dataset
from trainable.data.sizes import fit
from trainable.finetuner import FineTuner
from trainable.inference.classifier import Classifier
from trainable.inference.exported import open_onnx, open_pt2
from trainable.inference.spec import Spec
from tune import export as door
from tune.models import formats, lineage
from tune.models.export import Images, ParityError, export, images_of
from tune.models.formats import FORMATS, Form
from tune.models.lookup import Model, load_model
from tune.models.parity import Parity


@pytest.fixture
def champion(finished_search: FinishedSearch) -> Model:
    return load_model(None, finished_search.uri)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A classifier of which nobody knows what it was trained on."""
    spec = Spec("resnet18", ("ants", "bees"), 8, 16)
    Classifier(spec, random_state(2)).save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.slow
def test_the_champion_as_onnx_is_right_about_the_same_test_images(
    finished_search: FinishedSearch, champion: Model, tmp_path: Path
) -> None:
    out = tmp_path / "digits.onnx"
    done = invoke("tune.export", f"--out={out}", cwd=finished_search.folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (search,) = finished_search.runs("search")
    accuracy = f"{search.data.metrics['test_acc']:.2%}"
    assert f"{len(load_dataset(DataConfig(limit=300)).test)} test images" in done.stdout
    assert f"accuracy {accuracy}, the model's {accuracy}" in done.stdout
    test = load_dataset(DataConfig(image_size=16, limit=300)).test
    found = open_onnx(out)(fit(test.images, 16))
    expected = champion.classifier.probabilities(test.images)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["digits.onnx"]


@pytest.mark.slow
def test_the_champion_as_int8_is_a_quarter_as_large_and_its_speed_is_told(
    finished_search: FinishedSearch, tmp_path: Path
) -> None:
    out = tmp_path / "digits.onnx"
    words = [f"--out={out}", "--format=int8", "--model=resnet18-digits"]
    words.append("--tolerance=0.05")  # it guesses, and a point is four images
    done = CliRunner().invoke(door.app, [*words, f"--uri={finished_search.uri}"])
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    assert "times as fast in ONNX Runtime" in done.stdout
    assert onnxruntime.InferenceSession(out).get_modelmeta().custom_metadata_map["classes"]
    assert out.stat().st_size < 13_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["digits.onnx"]


@pytest.mark.nightly
def test_a_model_that_knows_its_digits_loses_no_point_in_integers(tmp_path: Path) -> None:
    config = TrialConfig.model_validate(
        {"data": {"image_size": 32}, "optim": {"lr": 3e-3}, "train": {"epochs": 3}}
    )
    tuner = FineTuner(config)
    while not tuner.finished:
        tuner.train_epoch()
    data = tuner.dataset
    images = Images(data.test.images, data.test.labels, data.train.images[:256])
    written = export(Model("digits", tuner.classifier()), "int8", images, tmp_path / "a.onnx")
    assert written.parity.expected is not None
    assert written.parity.expected > 0.7
    assert written.parity.is_as_accurate(FORMATS["int8"].tolerance)


@pytest.mark.slow
def test_without_its_images_a_file_is_tried_on_random_ones(folder: Path, tmp_path: Path) -> None:
    words = ["--format=pt2", f"--model={folder}"]
    done = invoke("tune.export", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("model.pt2: ")
    assert f"64 random images ({folder} does not name its images)" in done.stdout
    pixels = torch.randint(256, (5, 3, 16, 16), dtype=torch.uint8)
    expected = Classifier.load(folder).probabilities(pixels)
    np.testing.assert_allclose(open_pt2(tmp_path / "model.pt2")(pixels), expected, atol=1e-5)


def test_a_file_is_called_as_its_model(folder: Path) -> None:
    assert formats.file_name("models:/resnet18-digits/3", "onnx") == "resnet18-digits-3.onnx"
    assert formats.file_name("models:/resnet18-digits/3", "int8") == "resnet18-digits-3.int8.onnx"
    assert formats.file_name(f"{folder}/", "pt2") == "model.pt2"
    assert formats.file_name("imagenet", "pt2") == "imagenet.pt2"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "pt2", pytest.param("int8", marks=pytest.mark.slow)])
def test_a_file_that_answers_otherwise_is_not_kept(
    form: Form, champion: Model, tmp_path: Path
) -> None:
    """No rounding is allowed here, and integers must be better than the model."""
    out = tmp_path / "model"
    out.write_text("of before")
    with pytest.raises(ParityError, match=r"on \d+ images"):
        export(champion, form, images_of(champion), out, tolerance=-1.0)
    assert out.read_text() == "of before"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.slow
def test_the_command_then_ends_with_1(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = replace(formats.FORMATS["pt2"], tolerance=-1.0)
    monkeypatch.setitem(formats.FORMATS, "pt2", strict)
    out = tmp_path / "model.pt2"
    words = ["--format=pt2", f"--out={out}", f"--model={folder}"]
    done = CliRunner().invoke(door.app, words)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"tune.export: {out} is not written: a probability differs by")
    assert not out.exists()
    assert CliRunner().invoke(door.app, [*words, "--tolerance=0.5"]).exit_code == 0
    assert out.exists()


@pytest.mark.parametrize(
    ("accuracy", "tolerance", "enough"),
    [(0.98, 0.01, True), (0.979, 0.01, False), (0.96, 0.03, True), (0.99, 0, True), (1, 0, True)],
)
def test_the_accuracy_may_be_lower_by_the_tolerance(
    accuracy: float, tolerance: float, enough: bool
) -> None:
    assert Parity(1000, 0.5, accuracy, 0.99).is_as_accurate(tolerance) is enough


def test_images_that_changed_since_are_not_taken_for_the_test_split(
    champion: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_dataset(DataConfig(image_size=16, limit=300))
    assert images_of(champion).reason == ""
    fewer = replace(dataset.test, images=dataset.test.images[1:], labels=dataset.test.labels[1:])
    monkeypatch.setattr(lineage, "load_dataset", lambda _: replace(dataset, test=fewer))
    changed = images_of(champion)
    assert changed.reason == "its test images have changed since"
    assert (changed.labels, changed.calibration) == (None, None)

    def gone(_: DataConfig) -> None:
        raise ValueError("data.root=photos is not a folder")

    monkeypatch.setattr(lineage, "load_dataset", gone)
    assert images_of(champion).reason.endswith("no longer here: data.root=photos is not a folder")


def test_a_version_that_no_search_made_does_not_tell_its_images(champion: Model) -> None:
    assert champion.version is not None
    tags = {k: v for k, v in champion.version.tags.items() if k != "tune.best_trial"}
    champion.version._tags = tags
    assert images_of(champion).reason.startswith("its run does not name its images (")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out=a.bin"], "--out a.bin: with --format onnx its name must end in .onnx"),
        (["--tolerance=2"], "--tolerance 2: input should be less than or equal to 1"),
        (["--out=a.onnx", "--format=pt2"], "its name must end in .pt2"),
        (["--out=nowhere/a.onnx"], "there is no folder nowhere"),
        (["--out=a.onnx"], "no model is registered here: python -m tune.search makes one"),
        (["--out=a.onnx", "--model=model", "--format=int8"], "--format int8 needs training images"),
    ],
)
def test_a_mistake_ends_with_2_and_one_line(
    words: list[str], told: str, folder: Path, tmp_path: Path
) -> None:
    done = invoke("tune.export", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.slow
@pytest.mark.parametrize(("form", "needed"), [("onnx", True), ("int8", True), ("pt2", False)])
def test_the_packages_of_the_extra_are_asked_for_where_they_are_needed(
    form: str, needed: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    out = tmp_path / ("a.onnx" if needed else "a.pt2")
    words = [f"--out={out}", f"--format={form}", f"--model={folder}"]
    done = CliRunner().invoke(door.app, words)
    assert done.exit_code == (2 if needed else 0)
    assert ("pip install 'resnet-tune[export]'" in done.stderr) is needed
