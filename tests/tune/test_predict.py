"""`python -m tune.predict`, as a user runs it."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import ResNet18_Weights

from tests.helpers.commands import user_environment
from tests.helpers.doors import invoke
from tests.helpers.networks import random_state
from tests.helpers.processes import running
from tests.helpers.searches import FinishedSearch
from trainable.config import DataConfig
from trainable.data.datasets import Dataset, load_dataset
from trainable.inference.calibration import NEVER_SURE
from trainable.inference.classifier import Classifier
from trainable.inference.labelling import Answer
from trainable.inference.spec import Spec
from tune.library.models import load_model


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(DataConfig(image_size=16, limit=300))


@pytest.fixture(scope="module")
def pictures(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test split as files, in folders by their numbers' last digit."""
    folder = tmp_path_factory.mktemp("pictures")
    for index, image in enumerate(dataset.test.images):
        path = folder / str(index % 10) / f"{index:03d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that needs no registry."""
    folder = tmp_path_factory.mktemp("model")
    spec = Spec("resnet18", ("ants", "bees", "crickets"), 8, 16)
    Classifier(spec, random_state(3)).save(folder)
    return folder


def test_the_names_of_classes_and_files_stand_on_one_line(tmp_path: Path) -> None:
    names = ("[red]a[/]", "two\nlines\x1b[31m")
    Classifier(Spec("resnet18", names, 8, 16), random_state(2)).save(tmp_path / "model")
    picture = tmp_path / "a\nb.png"
    Image.new("RGB", (8, 8)).save(picture)
    words = ("--model", str(tmp_path / "model"), "--top-k", "2", str(picture))
    done = invoke("tune.predict", *words, cwd=tmp_path)
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{tmp_path}/a\\nb.png: ")
    assert "[red]a[/] " in line
    assert r"two\nlines\x1b[31m " in line


def test_of_any_number_of_labels_those_above_one_half_are_said(tmp_path: Path) -> None:
    spec = Spec("resnet18", ("red", "round", "big"), 8, 16, several=True)
    state = random_state(3)
    state["fc.weight"].zero_()
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    answers = {"red|big": (2.0, -3.0, 1.0), "": (-2.0, -1.0, -3.0)}
    for label, bias in answers.items():
        state["fc.bias"].copy_(torch.tensor(bias))
        Classifier(spec, state).save(tmp_path / "model")
        sure = 1 / (1 + np.exp(-1.0))
        words = ("--model", str(tmp_path / "model"), "a.png")
        done = invoke("tune.predict", *words, cwd=tmp_path)
        assert done.stdout == f"a.png: {label or 'no label'} {sure:.2%}\n"
        row = json.loads(invoke("tune.predict", *words, "--json", cwd=tmp_path).stdout)
        assert (row["label"], row["unsure"]) == (label, False)
        assert row["probability"] == pytest.approx(sure, abs=1e-6)
        each = dict(zip(spec.classes, 1 / (1 + np.exp(-np.array(bias))), strict=True))
        assert row["probabilities"] == pytest.approx(each, abs=1e-6)
        invoke("tune.predict", *words, "--csv", "t.csv", cwd=tmp_path)
        with (tmp_path / "t.csv").open() as file:
            (cells,) = csv.DictReader(file)
        assert cells["label"] == label
        assert list(cells)[4:] == ["p_red", "p_round", "p_big"]
        assert float(cells["p_round"]) == pytest.approx(each["round"], abs=1e-6)
        (told,) = load_model(str(tmp_path / "model")).predict(tmp_path / "a.png")
        assert (told.label, told.probability) == (label, pytest.approx(sure))
        assert list(told.probabilities.values()) == sorted(told.probabilities.values())[::-1]
    done = invoke("tune.predict", *words, "--top-k", "2", cwd=tmp_path)
    assert done.returncode == 2
    assert "--top-k means nothing" in done.stderr
    done = invoke("tune.evaluate", ".", "--model", str(tmp_path / "model"), cwd=tmp_path)
    assert done.returncode == 2
    assert "any number of labels" in done.stderr


def test_the_champion_is_as_right_as_it_was_when_it_was_tested(
    finished_search: FinishedSearch, pictures: Path, dataset: Dataset
) -> None:
    done = invoke("tune.predict", str(pictures), "--json", cwd=finished_search.folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["image"] for row in rows] == sorted(map(str, pictures.rglob("*.png")))
    right = [
        row["label"] == dataset.classes[dataset.test.labels[int(Path(row["image"]).stem)]]
        for row in rows
    ]
    (search,) = finished_search.runs("search")
    assert sum(right) / len(right) == pytest.approx(search.data.metrics["test_acc"])


def test_lines_for_people_and_lines_for_programs_say_the_same(
    model: Path, pictures: Path, tmp_path: Path
) -> None:
    words = [str(pictures / "0" / "000.png"), f"--model={model}", "--top-k=2"]
    text = invoke("tune.predict", *words, cwd=tmp_path).stdout
    row = json.loads(invoke("tune.predict", *words, "--json", cwd=tmp_path).stdout)
    best, second = row["top"]
    assert (row["image"], row["label"], row["probability"]) == (
        words[0],
        best["label"],
        best["probability"],
    )
    assert 1 > best["probability"] > second["probability"] > 0
    told = ", ".join(f"{one['label']} {one['probability']:.2%}" for one in row["top"])
    assert text == f"{words[0]}: {told}\n"


def test_an_unsure_answer_is_told_to_be_one(model: Path, pictures: Path, tmp_path: Path) -> None:
    image = str(pictures / "0" / "000.png")
    for below, told in ((0.0, ""), (NEVER_SURE, " (unsure)")):
        Classifier.load(model).calibrated(2.0, below).save(tmp_path / "model")
        words = [image, f"--model={tmp_path / 'model'}"]
        text = invoke("tune.predict", *words, cwd=tmp_path).stdout
        row = json.loads(invoke("tune.predict", *words, "--json", cwd=tmp_path).stdout)
        assert row["unsure"] is bool(told)
        assert text == f"{image}: {row['label']} {row['probability']:.2%}{told}\n"


def test_standard_input_is_an_image(model: Path, pictures: Path, tmp_path: Path) -> None:
    path = pictures / "0" / "000.png"
    words = ("-", str(path), f"--model={model}", "--top-k=9")
    done = invoke("tune.predict", *words, cwd=tmp_path, stdin=path.read_bytes())
    first, second = done.stdout.splitlines()
    assert first.removeprefix("-: ") == second.removeprefix(f"{path}: ")
    assert first.count("%") == 3  # it has no more classes


def test_what_cannot_be_read_is_told_and_does_not_stop_the_rest(
    model: Path, pictures: Path, tmp_path: Path
) -> None:
    for name in ("empty", "mixed/deep"):
        (tmp_path / name).mkdir(parents=True)
    good = (pictures / "0" / "000.png").read_bytes()
    for name, content in {"b.PNG": good, "a.jpg": b"words", "deep/c.png": good}.items():
        (tmp_path / "mixed" / name).write_bytes(content)
    (tmp_path / "mixed" / "notes.txt").write_text("no image")
    words = ["missing.png", "mixed", "empty", f"--model={model}"]
    done = invoke("tune.predict", *words, cwd=tmp_path)
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        "mixed/b.PNG",
        "mixed/deep/c.png",
    ]
    told = done.stderr.splitlines()
    assert [line.split()[1] for line in told] == ["empty", "missing.png", "mixed/a.jpg"]
    assert told[0].startswith("tune.predict: empty holds no image (JPEG,")
    assert "there is no such file" in told[1]


def test_a_folder_that_may_not_be_read_does_not_stop_the_rest(
    model: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = (pictures / "0" / "000.png").read_bytes()
    for name in ("a", "closed", "z"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.png").write_bytes(good)
    scan = os.scandir

    def guarded(path: str | Path) -> Any:  # root may read all
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    done = invoke("tune.predict", "photos", f"--model={model}", cwd=tmp_path)
    assert done.returncode == 1
    told = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert told == ["photos/a/1.png", "photos/z/1.png"]
    (line,) = done.stderr.splitlines()
    assert line.startswith("tune.predict: photos/closed cannot be read (Permission denied): give")


def test_a_table_has_a_row_for_each_image_that_can_be_read(
    model: Path, pictures: Path, tmp_path: Path
) -> None:
    odd = [b'com,ma "quoted".png', b"no utf-8 \xff.png", b"two\nlines.png"]
    for name in odd:
        (tmp_path / os.fsdecode(name)).write_bytes((pictures / "0" / "000.png").read_bytes())
    (tmp_path / "broken.png").write_bytes(b"words")
    (tmp_path / "labels.csv").write_text("of before")
    words = [*map(os.fsdecode, odd), "broken.png", str(pictures), f"--model={model}", "--top-k=9"]

    done = invoke("tune.predict", *words, "--csv=labels.csv", cwd=tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith("tune.predict: broken.png cannot be read as an image")
    paths = sorted(map(str, pictures.rglob("*.png")))
    assert done.stdout == f"labels.csv: {len(paths) + 3} labelled\n"
    text = (tmp_path / "labels.csv").read_bytes().decode(errors="surrogateescape")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["path"] for row in rows] == [*map(os.fsdecode, odd), *paths]
    others = (f"{kind}_{n}" for n in (2, 3) for kind in ("label", "probability"))
    assert list(rows[0]) == ["path", "label", "probability", "unsure", *others]
    (said,) = invoke(
        "tune.predict", paths[0], f"--model={model}", "--json", cwd=tmp_path
    ).stdout.splitlines()
    assert (rows[3]["label"], float(rows[3]["probability"])) == (
        json.loads(said)["label"],
        json.loads(said)["probability"],
    )
    assert sum(float(rows[0][f"probability{n}"]) for n in ("", "_2", "_3")) == pytest.approx(
        1, abs=1e-5
    )
    assert not list(tmp_path.glob("*.part"))


def test_a_table_that_is_not_finished_leaves_the_one_before(
    model: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "labels.csv").write_text("of before")

    def interrupted(*_: object) -> Iterator[Answer]:
        yield Answer(Path("a.png"), np.array([0.5, 0.3, 0.2], np.float32))
        raise KeyboardInterrupt

    monkeypatch.setattr("tune.reporting.labelling.label", interrupted)
    words = (str(pictures), f"--model={model}", "--csv=labels.csv")
    invoke("tune.predict", *words, cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]
    assert (tmp_path / "labels.csv").read_text() == "of before"


@pytest.mark.slow
def test_many_have_a_bar_where_a_person_looks_and_only_there(
    model: Path, pictures: Path, tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "tune.predict", str(pictures), f"--model={model}"]
    terminal, theirs = os.openpty()
    with running(words, cwd=tmp_path, env=user_environment(), stderr=theirs) as process:
        os.close(theirs)
        shown = b"".join(read(terminal))
        assert process.stdout is not None
        labels = process.stdout.read()
        assert process.wait() == 0
    os.close(terminal)
    assert len(labels.splitlines()) == len(list(pictures.rglob("*.png")))
    assert "\x1b" not in labels
    assert b"100%" in shown
    assert b"ants" not in shown


def read(terminal: int) -> Iterator[bytes]:
    try:
        while chunk := os.read(terminal, 4096):
            yield chunk
    except OSError:  # Linux' way to say that nobody writes any more
        return


def test_imagenets_own_labels_are_told(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From torch.hub's cache, whose files are not hashed again: these weights are random."""
    name = ResNet18_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[-1]
    path = tmp_path / "hub" / "checkpoints" / name
    path.parent.mkdir(parents=True)
    torch.save(random_state(), path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    image = str(pictures / "0" / "000.png")
    done = invoke("tune.predict", "--model=imagenet", "--json", image, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["label"] in ResNet18_Weights.IMAGENET1K_V1.meta["categories"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "name an image, a folder, or -"),
        (["empty"], "empty holds no image (JPEG"),
        (["a.png"], "no model is registered here: python -m tune.search makes one"),
        (["a.png", "--model=nowhere"], "--model nowhere: no such folder"),
        (["a.png", "--csv=a.csv", "--json"], "--csv and --json: give one of them"),
        (["a.png", "--csv=empty"], "--csv empty: that is no plain file"),
        (["a.png", "--csv=no/a.csv"], "--csv no/a.csv: there is no folder no"),
        (["a.png", "--uri=sqlite:///nowhere/mlflow.db"], "there is no folder nowhere"),
    ],
)
def test_a_mistake_ends_with_2_and_one_line(words: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = invoke("tune.predict", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("tune.predict: ")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
