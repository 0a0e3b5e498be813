"""Folders as people have them: what is taken, what is left out, and what is said of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainable.config import DataConfig
from trainable.data.datasets import load_dataset
from trainable.data.forms.image_folder import image_files, list_image_folder
from trainable.data.listing import Listing
from trainable.data.seen import Seen

WriteClasses = Callable[..., Path]


@pytest.fixture
def photos(tmp_path: Path, write_classes: WriteClasses) -> Path:
    return write_classes(tmp_path / "photos", {"ants": 4, "bees": 5})


@pytest.fixture
def write_splits(tmp_path: Path, write_classes: WriteClasses) -> Callable[..., Path]:
    def write(*names: str, root: Path = tmp_path / "splits") -> Path:
        for number, name in enumerate(names):
            write_classes(root / name, {"ants": 4 - number, "bees": 5 - number})
        return root

    return write


def sizes(listing: Listing) -> dict[str, int]:
    return {name: len(files) for name, files in listing.files.items()}


class TestSplitFolders:
    @pytest.mark.parametrize("train", ["train", "Train", "TRAINING", "training"])
    @pytest.mark.parametrize("val", ["val", "Val", "valid", "Validation"])
    @pytest.mark.parametrize("test", ["test", "Testing"])
    def test_their_names_may_be_any_that_are_usual(
        self, write_splits: Callable[..., Path], train: str, val: str, test: str
    ) -> None:
        found = list_image_folder(write_splits(train, val, test))

        assert sizes(found) == {"train": 9, "val": 7, "test": 5}
        assert found.classes == ("ants", "bees")
        assert found.notes == ()

    def test_two_of_one_meaning_are_refused(self, write_splits: Callable[..., Path]) -> None:
        with pytest.raises(
            ValueError, match="has Train, training, which all name the train images"
        ):
            list_image_folder(write_splits("Train", "training", "val"))

    def test_without_training_images_they_are_refused(
        self, write_splits: Callable[..., Path]
    ) -> None:
        root = write_splits("val", "test")
        with pytest.raises(
            ValueError, match=r"no training images: put a folder per class into .*t"
        ):
            list_image_folder(root)
        (root / "wasps").mkdir()
        with pytest.raises(
            ValueError, match=r"has test, val, named as a split, beside wasps: move"
        ):
            list_image_folder(root)

    def test_a_class_that_is_called_as_a_split_is_refused(
        self, tmp_path: Path, write_classes: WriteClasses
    ) -> None:
        root = write_classes(tmp_path / "traffic", {"bus": 3, "car": 3, "train": 3})
        with pytest.raises(
            ValueError, match=r"train has no class folders, and bus, car lie beside"
        ):
            list_image_folder(root)

    def test_class_folders_within_the_training_images_and_beside_them_are_refused(
        self, write_splits: Callable[..., Path], write_classes: WriteClasses
    ) -> None:
        root = write_splits("train", "val")
        write_classes(root, {"ants": 2})
        with pytest.raises(ValueError, match=r"ants lie in .*train and beside it: move"):
            list_image_folder(root)

    def test_other_folders_beside_them_are_left_out_and_named(
        self, write_splits: Callable[..., Path]
    ) -> None:
        root = write_splits("train", "val")
        (root / "masks").mkdir()
        found = list_image_folder(root)
        assert sizes(found) == {"train": 9, "val": 7}
        assert found.notes == ("left out: beside the split folders: 1 (masks)",)

    @pytest.mark.parametrize("below", ["", "unknown"])
    def test_a_test_folder_without_labels_is_left_out_and_said_to_be(
        self, write_splits: Callable[..., Path], below: str
    ) -> None:
        root = write_splits("train", "test")
        shutil.copytree(root / "test" / "ants", root / "of test")
        shutil.rmtree(root / "test")
        (root / "test").mkdir()
        (root / "of test").rename(root / "test" / (below or "files"))
        if not below:
            for path in list((root / "test" / "files").iterdir()):
                path.rename(root / "test" / path.name)
            (root / "test" / "files").rmdir()

        found = list_image_folder(root)

        assert sizes(found) == {"train": 9}
        assert "test has no class folders, so its images have no labels: it is" in found.notes[0]
        assert "test images are taken from the training images" in found.notes[0]

    def test_a_class_that_a_split_lacks_is_named_with_what_may_be_it(
        self, write_splits: Callable[..., Path]
    ) -> None:
        root = write_splits("train", "valid")
        (root / "valid" / "ants").rename(root / "valid" / "Ants")
        with pytest.raises(ValueError, match=r"Ants only here, no ants \(is Ants ants\?\); name"):
            list_image_folder(root)


class TestLeftOut:
    def test_what_systems_and_tools_leave_is_passed_over_at_every_depth(self, photos: Path) -> None:
        before = list_image_folder(photos)
        deep = photos / "ants" / "deep"
        deep.mkdir()
        for folder in (photos, photos / "ants", deep):
            for name in (".ipynb_checkpoints", "__MACOSX"):
                shutil.copytree(photos / "bees", folder / name / "bees")
            shutil.copy(photos / "bees" / "000.png", folder / "._x.png")
            shutil.copy(photos / "bees" / "000.png", folder / ".hidden.jpg")
            (folder / ".DS_Store").write_bytes(b"\0")
            (folder / "Thumbs.db").write_bytes(b"\0")

        found = list_image_folder(photos)

        assert (found.files, found.classes) == (before.files, before.classes)
        assert found.notes[0].startswith("left out: hidden: 16 (.ipynb_checkpoints, __MACOSX, ")
        assert found.skipped == 16

    def test_each_reason_is_counted_with_the_first_names(self, photos: Path) -> None:
        for name in "abcd":
            (photos / "ants" / f"{name}.txt").write_text("nothing to see")
        (photos / "bees" / "unknown").write_bytes(b"\0\1\2")
        (photos / "bees" / "gone.png").symlink_to(photos / "nowhere.png")
        shutil.copy(photos / "bees" / "000.png", photos / "alone.png")

        found = list_image_folder(photos)

        (note,) = found.notes
        assert "no images: 5 (ants/a.txt: text, ants/b.txt: text, ants/c.txt: text, ants/d" in note
        assert "linked to nothing: 1 (bees/gone.png)" in note
        assert "beside the class folders: 1 (alone.png)" in note
        assert found.skipped == 7

    def test_a_class_of_nothing_that_is_read_says_what_is_there(self, photos: Path) -> None:
        shutil.rmtree(photos / "bees")
        (photos / "bees").mkdir()
        with pytest.raises(ValueError, match=r"bees holds no image .*: it is empty"):
            list_image_folder(photos)
        (photos / "bees" / "letter.pdf").write_bytes(b"%PDF-1.7")
        with pytest.raises(
            ValueError, match=r"bees holds no image .*: no images: 1 \(letter\.pdf: P"
        ):
            list_image_folder(photos)

    def test_an_image_of_another_ending_is_one(self, photos: Path) -> None:
        Image.new("RGB", (12, 12)).save(photos / "bees" / "scan", "JPEG")
        Image.new("RGB", (12, 12)).save(photos / "bees" / "photo.jfif", "JPEG")

        assert {"scan", "photo.jfif"} <= {
            path.name for path in list_image_folder(photos).files["train"]
        }


class TestLinks:
    def test_they_are_followed_and_a_circle_is_passed_over(self, photos: Path) -> None:
        elsewhere = photos.with_name("elsewhere")
        shutil.move(photos / "bees", elsewhere)
        (photos / "bees").symlink_to(elsewhere)
        (photos / "ants" / "more").symlink_to(photos / "ants")
        (elsewhere / "up").symlink_to(elsewhere)

        found = list_image_folder(photos)

        assert [path.parent.name for path in found.files["train"]] == ["ants"] * 4 + ["bees"] * 5
        assert "linked in a circle, or twice: 2 (ants/more, bees/up)" in found.notes[0]

    @pytest.mark.parametrize("up", [".", "inner"])
    def test_a_link_to_a_folder_that_the_class_lies_in_is_a_circle(
        self, photos: Path, up: str
    ) -> None:
        """Else the images of all other classes would be of this one too."""
        for name in ("ants", "bees"):
            (photos / "inner").mkdir(exist_ok=True)
            (photos / name).rename(photos / "inner" / name)
        (photos / "inner" / "ants" / "up").symlink_to(photos / up)
        (photos.with_name("elsewhere")).symlink_to(photos)

        for root in (photos, photos.with_name("elsewhere")):
            found = list_image_folder(root / "inner")
            assert len(found.files["train"]) == 9
            assert found.notes == ("left out: linked in a circle, or twice: 1 (ants/up)",)

    def test_a_dead_link_beside_the_class_folders_is_counted(self, photos: Path) -> None:
        (photos / "wasps").symlink_to(photos / "nowhere")
        found = list_image_folder(photos)
        assert found.classes == ("ants", "bees")
        assert found.notes == ("left out: linked to nothing: 1 (wasps)",)

    def test_a_linked_folder_below_a_class_counts(self, photos: Path) -> None:
        elsewhere = photos.with_name("elsewhere")
        shutil.copytree(photos / "ants", elsewhere)
        (photos / "ants" / "more").symlink_to(elsewhere)

        assert len(list_image_folder(photos).files["train"]) == 13

    def test_a_folder_that_cannot_be_read_is_named(
        self, photos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (photos / "ants" / "deep").mkdir()
        scandir = os.scandir

        def refused(path: str | Path | int) -> object:
            if not isinstance(path, int) and Path(path).name == "deep":
                raise PermissionError(13, "Permission denied")
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refused)  # root may read everything
        with pytest.raises(ValueError, match=r"deep cannot be read \(Permission denied\)"):
            list_image_folder(photos)


def test_images_in_folders_of_a_class_are_of_it_and_that_is_said(photos: Path) -> None:
    (photos / "ants" / "red").mkdir()
    (photos / "ants" / "000.png").rename(photos / "ants" / "red" / "000.png")

    found = list_image_folder(photos)

    assert found.labels["train"].tolist() == [0] * 4 + [1] * 5
    assert found.notes == (
        "images in folders below a class folder are of its class: 1, as ants/red",
    )


def test_files_are_in_the_order_of_their_paths(photos: Path) -> None:
    for name in ("a.b", "a", "a-b", "B"):
        (photos / "ants" / name).mkdir()
        shutil.copy(photos / "bees" / "000.png", photos / "ants" / name)
    found = image_files(photos / "ants")
    assert found == sorted(found)
    assert len(found) == 8


class TestHints:
    def test_the_folder_within_is_named_where_it_has_the_classes(self, photos: Path) -> None:
        with pytest.raises(ValueError, match=r"1 class folders: .*data\.root=.*photos$"):
            list_image_folder(photos.parent)

    @pytest.mark.parametrize("name", ["labels.csv", "Labels.TSV", "labels.ndjson"])
    def test_a_table_is_named_where_there_is_one(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text("path,label\n")
        with pytest.raises(ValueError, match=rf"data\.source=table data\.root=.*{name}$"):
            list_image_folder(tmp_path)


@pytest.mark.usefixtures("no_cached_data")
class TestGroups:
    @pytest.fixture
    def patients(self, tmp_path: Path, write_classes: WriteClasses) -> Path:
        """Three images each of twelve patients, six of each class."""
        root = write_classes(tmp_path / "photos", {"ants": 18, "bees": 18})
        for path in list(root.glob("*/*.png")):
            patient = int(path.stem) // 3 + 6 * (path.parent.name == "bees")
            path.rename(path.with_name(f"patient{patient}_{path.name}"))
        return root

    def test_one_of_which_a_model_has_seen_an_image_is_left_out_of_its_test(
        self, patients: Path
    ) -> None:
        given = {"source": "image_folder", "root": patients, "image_size": 12}
        dataset = load_dataset(DataConfig(**given, group=r"(patient\d+)_"))
        names = [file.name.split("_")[0] for file in dataset.test.files]
        one, none = np.array([0]), np.array([], np.int64)
        seen = Seen.of(replace(dataset, train=dataset.test.at(one), val=dataset.val.at(none)))
        fresh = seen.unseen_groups(dataset)
        assert fresh.tolist() == [name != names[0] for name in names]
        assert 1 < (~fresh).sum() < len(fresh)
        assert not seen.unseen(dataset)[~fresh].any()

    def test_all_images_of_one_are_in_one_split_and_in_one_fold(self, patients: Path) -> None:
        given = {"source": "image_folder", "root": patients, "image_size": 12}
        config = DataConfig(**given, group=r"(patient\d+)_")
        dataset = load_dataset(config)

        where = [
            {path.name.partition("_")[0] for path in dataset.split(name).files}
            for name in ("train", "val", "test")
        ]
        assert sum(map(len, where)) == len(set.union(*where)) == 12
        assert "12 groups of 3 images, each of which stays in one split" in dataset.notes
        fold = dataset.folded("1/2")
        sides = [
            {path.name.partition("_")[0] for path in each.files} for each in (fold.train, fold.val)
        ]
        assert sides[0]
        assert sides[1]
        assert not sides[0] & sides[1]

    def test_without_it_some_are_torn(self, patients: Path) -> None:
        dataset = load_dataset(DataConfig(source="image_folder", root=patients, image_size=12))
        where = [
            {path.name.partition("_")[0] for path in dataset.split(name).files}
            for name in ("train", "val", "test")
        ]
        assert sum(map(len, where)) > len(set.union(*where))

    def test_a_path_without_one_is_named_with_an_expression_by_which_it_stands_alone(
        self, patients: Path
    ) -> None:
        (patients / "ants" / "patient0_000.png").rename(patients / "ants" / "scan.png")
        with pytest.raises(ValueError, match=r"1 of 36 paths, such as ants/scan\.png") as refusal:
            list_image_folder(patients, r"(patient\d+)_")
        pattern = str(refusal.value).split("'")[1]

        found = list_image_folder(patients, pattern).groups["train"]

        assert sorted(set(found)) == ["", *sorted(f"patient{number}" for number in range(12))]

    def test_a_class_of_too_few_is_named(self, patients: Path) -> None:
        given = {"source": "image_folder", "root": patients, "image_size": 12}
        few = r"too few groups \(data.group\) .* in ants \(1\), bees \(1\), and each class needs 3"
        with pytest.raises(ValueError, match=few):
            load_dataset(DataConfig(**given, group="^(ants|bees)"))

    def test_a_limit_that_leaves_too_few_of_them_is_named(self, patients: Path) -> None:
        given = {"source": "image_folder", "root": patients, "image_size": 12, "limit": 6}
        with pytest.raises(ValueError, match=r"too few groups .* or raise data\.limit=6, or leave"):
            load_dataset(DataConfig(**given, group=r"(patient\d)"))
