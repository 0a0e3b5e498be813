"""`python -m tune.evaluate`, as a user runs it."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, f1_score

from tests.helpers.doors import invoke
from tests.helpers.images import write_folders
from tests.helpers.label_sets import SIDES, write_table
from tests.helpers.networks import random_state
from tests.helpers.searches import FinishedSearch
from trainable.config import DataConfig
from trainable.data.datasets import Dataset, Split, load_dataset
from trainable.inference.classifier import Classifier
from trainable.inference.spec import Spec

CLASSES = ("ants", "bees", "crickets")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that needs no registry, and does not say what it has seen."""
    folder = tmp_path_factory.mktemp("model")
    Classifier(Spec("resnet18", CLASSES, 12, 16), random_state(3)).save(folder)
    return folder


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that gives an image any number of labels."""
    folder = tmp_path_factory.mktemp("several")
    spec = Spec("resnet18", SIDES, 16, 16, several=True, unsure_below=0.55)
    Classifier(spec, random_state(3)).save(folder)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_folders(tmp_path / "photos", CLASSES, 4)
    return tmp_path / "photos"


def write_split(split: Split, classes: tuple[str, ...], folder: Path) -> None:
    """A split as files, in a folder a class."""
    for number, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
        path = folder / classes[int(label)] / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(DataConfig(image_size=16, limit=300))


def evaluated(*words: str, cwd: Path, code: int = 0) -> dict[str, Any]:
    done = invoke("tune.evaluate", *words, "--json", cwd=cwd)
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_on_its_test_split_the_champion_has_the_accuracy_that_its_search_recorded(
    finished_search: FinishedSearch, dataset: Dataset, tmp_path: Path
) -> None:
    write_split(dataset.test, dataset.classes, tmp_path / "test")
    words = (str(tmp_path / "test"), "--model=resnet18-digits")
    found = evaluated(*words, cwd=finished_search.folder)
    (search,) = finished_search.runs("search")
    count, recorded = len(dataset.test), search.data.metrics["test_acc"]
    assert found["accuracy"] == pytest.approx(recorded)
    assert (found["images"], found["seen"]) == (count, 0)
    right = round(recorded * count)
    interval = binomtest(right, count).proportion_ci(0.95, "wilson")
    assert found["accuracy_interval"] == pytest.approx([interval.low, interval.high])
    assert sum(map(sum, found["confusion"])) == count
    assert sum(row["images"] for row in found["per_class"].values()) == count
    assert len(found["mistakes"]) == min(10, count - right)


@pytest.mark.slow
def test_images_of_the_models_search_are_left_out_unless_they_are_asked_for(
    finished_search: FinishedSearch, dataset: Dataset, tmp_path: Path
) -> None:
    few = dataset.train
    write_split(few, dataset.classes, tmp_path / "photos")
    done = invoke("tune.evaluate", str(tmp_path / "photos"), cwd=finished_search.folder)
    assert done.returncode == 1
    assert done.stdout == ""
    told = (
        f"all {len(few)} images in {tmp_path / 'photos'}, or duplicates of them, were seen in the"
    )
    assert told in done.stderr
    write_split(dataset.test, dataset.classes, tmp_path / "both")
    shutil.copytree(tmp_path / "photos", tmp_path / "both", dirs_exist_ok=True, copy_function=aside)
    words = (str(tmp_path / "both"),)
    found = evaluated(*words, cwd=finished_search.folder)
    assert (found["images"], found["seen"]) == (len(dataset.test), len(few))
    told = f"{len(few)} images of its search's training or validation, or duplicates"
    for option, line in ((), f"left out: {told}"), (("--include-seen",), f"among them {told}: "):
        done = invoke("tune.evaluate", *words, *option, cwd=finished_search.folder)
        assert f"\n{line}" in done.stdout
    found = evaluated(*words, "--include-seen", cwd=finished_search.folder)
    assert (found["images"], found["seen"]) == (len(dataset.test) + len(few), len(few))


def aside(source: str, target: str) -> None:
    """Copy a file under a name that no other has."""
    shutil.copy(source, Path(target).with_stem(f"train-{Path(target).stem}"))


def test_lines_for_people_say_what_the_document_says(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    words = ("photos", f"--model={model}", "--mistakes=2")
    found = evaluated(*words, cwd=tmp_path)
    done = invoke("tune.evaluate", *words, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0] == f"{model} on photos: 12 images of 3 classes"
    low, high = found["accuracy_interval"]
    assert lines[1] == f"accuracy {found['accuracy']:.2%}, 95% interval {low:.2%} to {high:.2%}"
    assert "is not known" in lines[2]
    assert found["seen"] is None
    by_class = f"balanced accuracy {found['balanced_accuracy']:.2%}"
    by_class += f", macro F1 {found['macro_f1']:.2%}, AUROC {found['auroc']:.2%}"
    assert lines[3] == by_class
    for name, row in found["per_class"].items():
        cells = [f"{row[key]:.1%}" for key in ("precision", "recall", "f1")]
        assert [name, "4", *cells] in [line.split() for line in lines]
    for number, (name, row) in enumerate(zip(CLASSES, found["confusion"], strict=True), 1):
        counts = [str(count) if count else "·" for count in row]
        assert [str(number), name, *counts] in [line.split() for line in lines]
    assert lines[-2:] == [
        f"  {each['path']}: {each['class']} taken for {each['label']}, {each['probability']:.2%}"
        for each in found["mistakes"]
    ]
    first, second = found["mistakes"]
    assert first["probability"] >= second["probability"]
    assert Path(first["path"]).parent.name == first["class"] != first["label"]


def test_how_many_answers_are_sure_is_told_of_a_calibrated_model(
    photos: Path, tmp_path: Path
) -> None:
    whole = Classifier(Spec("resnet18", CLASSES, 12, 16), random_state(3))
    files = sorted(photos.rglob("*.png"))
    confidence = np.sort(whole.probabilities(whole.read(files)).max(axis=1))
    between = float(confidence[3:5].mean())
    Classifier(replace(whole.spec, unsure_below=between), random_state(3)).save(tmp_path / "model")
    found = evaluated("photos", "--model=model", cwd=tmp_path)
    assert found["sure"] == 8
    done = invoke("tune.evaluate", "photos", "--model=model", cwd=tmp_path)
    told = f"sure of 8 images, {found['sure_accuracy']:.2%} of them right; unsure of 4"
    assert told in done.stdout.splitlines()


def test_a_class_may_be_missing_and_what_cannot_be_read_is_told(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.rmtree(photos / "bees")
    (photos / "ants" / "broken.png").write_bytes(b"words")
    (photos / "notes.txt").write_text("no class")
    (photos / ".cache").mkdir()
    words = ("photos", f"--model={model}")
    found = evaluated(*words, cwd=tmp_path, code=1)
    assert (found["images"], found["per_class"]["bees"]["images"]) == (8, 0)
    assert found["unreadable"][0].startswith("photos/ants/broken.png cannot be read as an image")
    done = invoke("tune.evaluate", *words, cwd=tmp_path)
    assert done.stderr.startswith("tune.evaluate: photos/ants/broken.png cannot be read")
    assert "8 images of 2 of its 3 classes" in done.stdout


def test_many_classes_have_the_pairs_that_were_confused_most(tmp_path: Path) -> None:
    classes = tuple(f"class {number}" for number in range(12))
    Classifier(Spec("resnet18", classes, 12, 16), random_state(12)).save(tmp_path / "model")
    write_folders(tmp_path / "photos", classes, 1)
    done = invoke("tune.evaluate", "photos", "--model=model", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "confused most" in done.stdout
    assert " taken for class " in done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "missing argument 'folder'"),
        (["nowhere"], "nowhere: no such folder"),
        (["photos/ants"], "photos/ants has no class folder: give one with a folder a class"),
        (
            ["two.csv"],
            "two.csv: line 2: label is ants|bees, and the model gives an image one label",
        ),
        (["other.csv"], "other.csv: wasps is no class of the model, which knows ants, bees, cric"),
        (["bare.csv"], "bare.csv has no column label: its first line must name it, and has path"),
        (["photos/ants/0.png"], "a table must be one of .csv, .tsv"),
        (["wrong"], "wrong: beetles is no class of the model, which knows ants, bees, crickets"),
        (["splits"], "it holds splits, not classes: give one of them, such as splits/test"),
        (["words"], "it holds splits, not classes: give one of them, such as words/Valid"),
        (["empty"], "empty holds no image (JPEG"),
    ],
)
def test_a_mistake_ends_with_2_and_one_line(
    words: list[str], told: str, model: Path, photos: Path, tmp_path: Path
) -> None:
    splits = ("splits/test", "splits/train", "words/Training", "words/Valid")
    for name in ("wrong/beetles", *splits, "empty/bees"):
        (tmp_path / name).mkdir(parents=True)
    for name, label in (("two", ",ants|bees"), ("other", ",wasps"), ("bare", "")):
        header = "path,label" if label else "path"
        path = next(photos.rglob("*.png")).relative_to(tmp_path)
        (tmp_path / f"{name}.csv").write_text(f"{header}\n{path}{label}\n")
    done = invoke("tune.evaluate", *words, f"--model={model}", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_table_is_evaluated_as_the_folders_of_its_images_are(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    rows = [f"{file.relative_to(tmp_path)},{file.parent.name}" for file in photos.rglob("*.png")]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
    of_table = evaluated("labels.csv", f"--model={model}", cwd=tmp_path)
    of_folder = evaluated("photos", f"--model={model}", cwd=tmp_path)
    for key in ("images", "accuracy", "per_class", "confusion", "auroc"):
        assert of_table[key] == of_folder[key]


class TestSeveral:
    """Models that give an image any number of labels."""

    @pytest.fixture
    def table(self, tmp_path: Path) -> Path:
        return write_table(tmp_path / "data", 40)

    def test_a_table_is_evaluated_label_by_label(
        self, several: Path, table: Path, tmp_path: Path
    ) -> None:
        found = evaluated(str(table), f"--model={several}", "--mistakes=3", cwd=tmp_path)
        with table.open() as file:
            rows = list(csv.DictReader(file))
        model = Classifier.load(several)
        scores = model.probabilities(model.read([table.parent / row["path"] for row in rows]))
        truth = np.array([[side in row["label"].split("|") for side in SIDES] for row in rows])
        said = scores > 0.5
        assert found["images"] == 40
        assert found["accuracy"] == pytest.approx((said == truth).all(1).mean())
        wanted = average_precision_score(truth, scores, average="macro")
        assert found["mean_average_precision"] == pytest.approx(wanted)
        for kind in ("micro", "macro"):
            wanted = f1_score(truth, said, average=kind, zero_division=0)
            assert found[f"{kind}_f1"] == pytest.approx(wanted)
        assert {name: row["images"] for name, row in found["per_class"].items()} == dict(
            zip(SIDES, truth.sum(0).tolist(), strict=True)
        )
        assert found["per_class"]["top"]["average_precision"] == pytest.approx(
            average_precision_score(truth[:, 2], scores[:, 2])
        )
        assert "confusion" not in found
        sure = np.maximum(scores, 1 - scores).min(1) >= 0.55
        assert found["sure"] == sure.sum()
        labels = {str(table.parent / row["path"]): row["label"] for row in rows}
        for each in found["mistakes"]:
            assert each["class"] == labels[each["path"]] != each["label"]

    def test_of_a_column_a_label_those_that_the_model_knows_are_read(
        self, several: Path, table: Path, tmp_path: Path
    ) -> None:
        """So the table that it was trained from is taken, whatever else it holds."""
        with table.open() as file:
            rows = list(csv.DictReader(file))
        own = [
            {"Path": row["path"], "patient": f"p{n // 4}", "width": 16}
            | {side.title(): int(side in row["label"].split("|")) for side in SIDES}
            for n, row in enumerate(rows)
        ]
        for name in ("columns.csv", "fewer.csv"):
            with (table.parent / name).open("w", newline="") as file:
                columns = list(own[0])[: 6 if name == "columns.csv" else 5]
                writer = csv.DictWriter(file, columns, extrasaction="ignore")
                writer.writeheader()
                writer.writerows(own)
        found = [
            evaluated(str(path), f"--model={several}", cwd=tmp_path)
            for path in (table, table.with_name("columns.csv"))
        ]
        assert found[0] == found[1] | {"folder": str(table)}
        done = invoke("tune.evaluate", "data/fewer.csv", f"--model={several}", cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.endswith(
            "data/fewer.csv has a column for 2 of 3 labels of the model, and none for top: add "
            "one of 1 and 0 for each, or give all labels in one that is called label\n"
        )

    def test_lines_for_people_say_what_the_document_says(
        self, several: Path, table: Path, tmp_path: Path
    ) -> None:
        words = (str(table), f"--model={several}")
        found = evaluated(*words, cwd=tmp_path)
        done = invoke("tune.evaluate", *words, cwd=tmp_path)
        lines = done.stdout.splitlines()
        assert lines[0].endswith(": 40 images of 3 labels")
        assert lines[1].startswith(f"all labels right {found['accuracy']:.2%}, 95% interval ")
        assert lines[4].startswith(
            f"mAP {found['mean_average_precision']:.2%}, micro F1 {found['micro_f1']:.2%}, "
            f"macro F1 {found['macro_f1']:.2%}"
        )
        row = found["per_class"]["left"]
        keys = ("precision", "recall", "f1", "average_precision")
        cells = ["left", str(row["images"]), *(f"{row[key]:.1%}" for key in keys)]
        assert cells in [line.split() for line in lines]
        assert "most confident mistakes" in done.stdout
        assert "confused" not in done.stdout

    @pytest.mark.parametrize(
        ("word", "told"),
        [
            ("data", "data is no table, and the model gives an image any number of labels, which a "
             "folder a class cannot say: give a table, such as data/labels.csv"),
            ("data/images", "cannot say: give a table (CSV, TSV, Parquet or JSON lines)"),
            ("other.csv", "other.csv: bottom is no class of the model, which knows left, right"),
            ("empty.csv", "empty.csv has no row with a label: give one whose rows have some"),
        ],
    )  # fmt: skip
    def test_a_mistake_ends_with_2_and_one_line(
        self, word: str, told: str, several: Path, table: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "other.csv").write_text("path,label\ndata/images/0000.png,left|bottom\n")
        (tmp_path / "empty.csv").write_text("path,label\ndata/images/0000.png,\n")
        done = invoke("tune.evaluate", word, f"--model={several}", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr
        assert done.stderr.count("\n") == 1
