"""Where images come from, how they are kept and how they are split."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import tarfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor
from torchvision.datasets import CIFAR10

from trainable.config import DataConfig
from trainable.data.datasets import Dataset, Split, SplitName, is_local, load_dataset
from trainable.data.decoding.image_file import ImageError, read_square
from trainable.registries import SOURCES

pytestmark = pytest.mark.usefixtures("no_cached_data")

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
WriteClasses = Callable[..., Path]


def folder_config(root: Path, image_size: int = 12, **changes: float) -> DataConfig:
    return DataConfig.model_validate(
        {"source": "image_folder", "root": root, "image_size": image_size, **changes}
    )


def sizes(dataset: Dataset) -> tuple[int, ...]:
    return tuple(len(dataset.split(name)) for name in SPLITS)


def rows(*splits: Split) -> set[bytes]:
    return {image.numpy().tobytes() for split in splits for image in split.images}


def band(images: Tensor) -> Tensor:
    """The label that `write_classes` gave an image, told from its pixels."""
    return images.flatten(1).amin(1).long() // 80


@pytest.fixture
def flat_folder(tmp_path: Path, write_classes: WriteClasses) -> Path:
    return write_classes(tmp_path / "flat", {"ants": 20, "bees": 20, "wasps": 10})


@pytest.fixture
def split_folder(tmp_path: Path, write_classes: WriteClasses) -> Path:
    """Training, validation and test folders of 16, 8 and 4 images."""
    for number, name in enumerate(SPLITS):
        count = 8 >> number
        write_classes(tmp_path / "parts" / name, {"ants": count, "bees": count})
    return tmp_path / "parts"


@pytest.mark.parametrize("limit", [None, 25])
@pytest.mark.parametrize("folder", ["flat_folder", "split_folder"])
def test_each_image_names_its_file(
    folder: str, limit: int | None, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue(folder)
    dataset = load_dataset(folder_config(root, **({} if limit is None else {"limit": limit})))
    for name in SPLITS:
        split = dataset.split(name)
        assert len(split.files) == len(split) > 0
        for image, file in zip(split.images, split.files, strict=True):
            assert image.permute(1, 2, 0).numpy().tobytes() == read_square(file, 12).tobytes()
    assert load_dataset(DataConfig()).test.files == ()


class TestDigits:
    def test_they_are_split_as_the_shares_say(self) -> None:
        shares = {"test_fraction": 0.5, "val_fraction": 0.5}

        assert sizes(load_dataset(DataConfig(split_rule=1))) == (1149, 288, 360)
        assert sizes(load_dataset(DataConfig(split_rule=1, **shares))) == (449, 449, 899)
        assert sizes(load_dataset(DataConfig())) == pytest.approx((1149, 288, 360), rel=0.1)
        assert sizes(load_dataset(DataConfig(**shares))) == pytest.approx((449, 449, 899), rel=0.1)

    def test_every_image_is_in_one_split_alone(self) -> None:
        dataset = load_dataset(DataConfig())

        together = rows(dataset.train, dataset.val, dataset.test)

        assert len(together) == sum(sizes(dataset)) == len(load_digits().images)

    def test_every_split_of_rule_1_holds_each_class_in_exact_proportion(self) -> None:
        dataset = load_dataset(DataConfig(split_rule=1))
        shares = np.bincount(load_digits().target) / len(load_digits().target)

        for name in SPLITS:
            labels = dataset.split(name).labels.numpy()
            np.testing.assert_allclose(np.bincount(labels), shares * len(labels), atol=1.1)

    def test_an_image_keeps_its_label_and_its_brightness(self) -> None:
        digits = load_digits()
        known = {
            np.round(image * 255 / 16).astype(np.uint8).tobytes(): label
            for image, label in zip(digits.images, digits.target, strict=True)
        }

        test = load_dataset(DataConfig()).test

        assert [known[image[0].numpy().tobytes()] for image in test.images] == test.labels.tolist()
        assert test.images.max() == 255

    def test_they_are_grey_squares_of_eight_pixels_as_integers(self) -> None:
        dataset = load_dataset(DataConfig())

        for name in SPLITS:
            split = dataset.split(name)
            assert split.images.shape == (len(split), 3, 8, 8)
            assert (split.images.dtype, split.labels.dtype) == (torch.uint8, torch.int64)
            assert torch.equal(split.images[:, 0], split.images[:, 2])
        assert dataset.classes == tuple("0123456789")
        assert dataset.skipped == 0

    def test_every_load_gives_the_same_split(self) -> None:
        first = load_dataset(DataConfig(limit=100))
        load_dataset.cache_clear()
        torch.manual_seed(1)
        np.random.seed(1)
        second = load_dataset(DataConfig(limit=100))

        assert first is not second
        assert first.fingerprint == second.fingerprint
        for name in SPLITS:
            assert torch.equal(first.split(name).images, second.split(name).images)
            assert torch.equal(first.split(name).labels, second.split(name).labels)

    def test_the_last_dataset_is_kept(self) -> None:
        assert load_dataset(DataConfig(limit=100)) is load_dataset(DataConfig(limit=100))


class TestLimit:
    def test_it_counts_training_and_validation_images_together(self) -> None:
        train, val, test = sizes(load_dataset(DataConfig(limit=200)))

        assert sizes(load_dataset(DataConfig(limit=200, split_rule=1))) == (160, 40, 360)
        assert train + val == 200
        assert val == pytest.approx(40, abs=15)
        assert test == len(load_dataset(DataConfig()).test)

    def test_it_leaves_the_test_split_alone(self) -> None:
        limited, whole = load_dataset(DataConfig(limit=200)), load_dataset(DataConfig())

        assert torch.equal(limited.test.images, whole.test.images)
        assert not rows(limited.train, limited.val) & rows(whole.test)

    @pytest.mark.parametrize("rule", [1, 2])
    def test_it_keeps_each_class_in_proportion(self, rule: int) -> None:
        dataset = load_dataset(DataConfig.model_validate({"limit": 200, "split_rule": rule}))
        both = np.concatenate([dataset.train.labels, dataset.val.labels])

        assert set(np.bincount(both)) <= {18, 19, 20, 21, 22}

    @pytest.mark.parametrize("limit", [1437, 5000])
    def test_one_beyond_the_data_changes_nothing(self, limit: int) -> None:
        limited, whole = load_dataset(DataConfig(limit=limit)), load_dataset(DataConfig())

        assert limited.fingerprint == whole.fingerprint

    @pytest.mark.parametrize("few", [1, 7])
    @pytest.mark.parametrize("rule", [1, 2])
    def test_one_just_below_the_data_leaves_a_few_out(self, few: int, rule: int) -> None:
        config = DataConfig.model_validate({"split_rule": rule})
        train, val, _ = sizes(load_dataset(config))
        limited = config.model_copy(update={"limit": train + val - few})

        assert sum(sizes(load_dataset(limited))[:2]) == train + val - few

    @pytest.mark.parametrize(
        ("limit", "rule"), [(2, 1), (9, 1), (12, 1), (40, 1), (2, 2), (9, 2), (12, 2)]
    )
    def test_one_too_small_for_every_class_is_refused(self, limit: int, rule: int) -> None:
        with pytest.raises(ValueError, match=r"every class on both sides \(data\.limit"):
            load_dataset(DataConfig.model_validate({"limit": limit, "split_rule": rule}))


class TestImageFolder:
    def test_class_folders_are_split_in_three(self, flat_folder: Path) -> None:
        dataset = load_dataset(folder_config(flat_folder))

        assert sizes(load_dataset(folder_config(flat_folder, split_rule=1))) == (32, 8, 10)
        assert sizes(dataset) == pytest.approx((32, 8, 10), abs=8)
        assert dataset.classes == ("ants", "bees", "wasps")
        assert len(rows(dataset.train, dataset.val, dataset.test)) == 50

    def test_an_image_has_the_label_of_its_folder(self, flat_folder: Path) -> None:
        dataset = load_dataset(folder_config(flat_folder))

        for name in SPLITS:
            split = dataset.split(name)
            assert torch.equal(split.labels, band(split.images))
            assert (split.images.dtype, split.labels.dtype) == (torch.uint8, torch.int64)

    def test_given_splits_are_kept(self, split_folder: Path) -> None:
        dataset = load_dataset(folder_config(split_folder))

        assert sizes(dataset) == (16, 8, 4)
        assert torch.equal(dataset.train.labels.bincount(), torch.tensor([8, 8]))
        assert all(
            torch.equal(dataset.split(name).labels, band(dataset.split(name).images))
            for name in SPLITS
        )

    @pytest.mark.parametrize(
        ("missing", "expected"),
        [("val", (12, 4, 4)), ("test", (12, 8, 4))],
    )
    def test_a_missing_split_is_carved_from_the_training_images(
        self, split_folder: Path, missing: str, expected: tuple[int, ...]
    ) -> None:
        shutil.rmtree(split_folder / missing)
        shares = {"val_fraction": 0.25, "test_fraction": 0.25}

        by_place = load_dataset(folder_config(split_folder, split_rule=1, **shares))
        by_content = load_dataset(folder_config(split_folder, **shares))

        assert sizes(by_place) == expected
        assert sum(sizes(by_content)) == sum(expected)
        assert min(sizes(by_content)) >= 2

    def test_both_splits_are_carved_where_there_is_but_a_training_folder(
        self, split_folder: Path
    ) -> None:
        shutil.rmtree(split_folder / "val")
        shutil.rmtree(split_folder / "test")
        shares = {"val_fraction": 0.25, "test_fraction": 0.25}

        by_place = load_dataset(folder_config(split_folder, split_rule=1, **shares))

        assert sizes(by_place) == (9, 3, 4)
        assert sum(sizes(load_dataset(folder_config(split_folder, **shares)))) == 16

    def test_images_in_folders_of_a_class_folder_count(self, split_folder: Path) -> None:
        ants = split_folder / "train" / "ants"
        (ants / "red").mkdir()
        (ants / "000.png").rename(ants / "red" / "000.png")

        assert sizes(load_dataset(folder_config(split_folder))) == (16, 8, 4)

    def test_a_file_that_is_no_image_is_left_out_and_named(self, split_folder: Path) -> None:
        (split_folder / "train" / "ants" / "notes.txt").write_text("nothing to see")
        Image.new("RGB", (12, 12)).save(split_folder / "val" / "bees" / "letter.pdf")

        dataset = load_dataset(folder_config(split_folder))

        assert dataset.skipped == 2
        (note,) = dataset.notes
        named = "train/ants/notes.txt: text, val/bees/letter.pdf: PDF"
        assert note == f"left out: no images: 2 ({named})"
        assert sizes(dataset) == (16, 8, 4)

    def test_many_files_that_are_no_images_are_counted(self, split_folder: Path) -> None:
        for number in range(9):
            (split_folder / "train" / "ants" / f"{number}.txt").touch()

        (note,) = load_dataset(folder_config(split_folder)).notes

        assert note.startswith("left out: no images: 9 (train/ants/0.txt: empty, ")
        assert note.endswith("train/ants/4.txt: empty, and 4 more)")

    def test_an_image_counts_whatever_its_suffix(self, split_folder: Path) -> None:
        for path in (split_folder / "train" / "ants").iterdir():
            path.rename(path.with_suffix(".blob"))

        dataset = load_dataset(folder_config(split_folder))

        assert (sizes(dataset), dataset.skipped) == ((16, 8, 4), 0)

    def test_an_extension_may_be_in_capitals(self, split_folder: Path) -> None:
        path = split_folder / "train" / "ants" / "000.png"
        path.rename(path.with_suffix(".PNG"))

        assert sizes(load_dataset(folder_config(split_folder))) == (16, 8, 4)

    @pytest.mark.parametrize("content", [b"", b"not an image"])
    def test_a_corrupt_image_is_named(self, split_folder: Path, content: bytes) -> None:
        (split_folder / "val" / "bees" / "003.png").write_bytes(content)

        with pytest.raises(ImageError, match=r"val.bees.003\.png cannot be read"):
            load_dataset(folder_config(split_folder))

    def test_an_image_that_breaks_off_is_named(self, split_folder: Path) -> None:
        path = split_folder / "train" / "ants" / "005.png"
        path.write_bytes(path.read_bytes()[:200])

        with pytest.raises(ImageError, match=r"train.ants.005\.png cannot be read"):
            load_dataset(folder_config(split_folder))

    def test_splits_of_other_classes_are_refused(self, split_folder: Path) -> None:
        (split_folder / "test" / "ants").rename(split_folder / "test" / "wasps")

        with pytest.raises(ValueError, match=r"test has other class folders than .*train"):
            load_dataset(folder_config(split_folder))

    def test_a_single_class_is_refused(self, tmp_path: Path, write_classes: WriteClasses) -> None:
        write_classes(tmp_path / "one", {"ants": 4})

        with pytest.raises(ValueError, match="has 1 class folders: at least 2 are needed"):
            load_dataset(folder_config(tmp_path / "one"))

    @pytest.mark.skipif(os.name != "posix", reason="names are text there")
    def test_a_class_folder_whose_name_is_no_text_is_refused(
        self, tmp_path: Path, write_classes: WriteClasses
    ) -> None:
        root = write_classes(tmp_path / "two", {"ants": 4, "bees": 4})
        try:
            (root / "bees").rename(root / os.fsdecode(b"b\xffes"))
        except OSError:
            pytest.skip("this file system takes no such name")

        with pytest.raises(ValueError, match=r"has a name that is no UTF-8: rename it"):
            load_dataset(folder_config(tmp_path / "two"))

    def test_an_empty_class_folder_is_named(self, split_folder: Path) -> None:
        shutil.rmtree(split_folder / "train" / "bees")
        (split_folder / "train" / "bees").mkdir()

        with pytest.raises(ValueError, match=r"train.bees holds no image \(JPEG"):
            load_dataset(folder_config(split_folder))

    def test_a_class_too_small_to_split_is_refused(
        self, tmp_path: Path, write_classes: WriteClasses
    ) -> None:
        root = write_classes(tmp_path / "few", {"ants": 20, "bees": 1})

        with pytest.raises(ValueError, match="every class on both sides"):
            load_dataset(folder_config(root))

    def test_a_root_that_is_no_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"data\.root=.*nowhere is not a folder"):
            load_dataset(folder_config(tmp_path / "nowhere"))

    def test_a_photograph_taken_sideways_is_kept_upright(
        self, tmp_path: Path, write_classes: WriteClasses
    ) -> None:
        root = write_classes(tmp_path / "photos", {"ants": 6, "bees": 6})
        exif = Image.Exif()
        exif[0x0112] = 6
        pixels = np.zeros((12, 12, 3), np.uint8)
        pixels[:, :6] = 255
        Image.fromarray(pixels).save(root / "ants" / "000.png", exif=exif)

        dataset = load_dataset(folder_config(root))

        upright = torch.from_numpy(np.rot90(pixels, -1).copy()).permute(2, 0, 1)
        everything = torch.cat([dataset.split(name).images for name in SPLITS])
        assert (everything == upright).flatten(1).all(1).sum() == 1

    @pytest.mark.parametrize(
        ("size", "image_size", "side"),
        [
            ((12, 12), 12, 12),
            ((12, 12), 56, 12),
            ((12, 12), 8, 9),
            ((12, 14), 56, 64),
            ((40, 30), 14, 16),
            ((40, 30), 224, 256),
        ],
    )
    def test_only_small_squares_are_kept_at_their_own_size(
        self,
        tmp_path: Path,
        write_classes: WriteClasses,
        size: tuple[int, int],
        image_size: int,
        side: int,
    ) -> None:
        root = write_classes(tmp_path / "photos", {"ants": 4, "bees": 4}, size)

        dataset = load_dataset(
            folder_config(root, image_size, test_fraction=0.25, val_fraction=0.4)
        )

        assert all(dataset.split(name).images.shape[1:] == (3, side, side) for name in SPLITS)

    def test_squares_of_different_sizes_are_brought_to_one(
        self, tmp_path: Path, write_classes: WriteClasses
    ) -> None:
        root = write_classes(tmp_path / "photos", {"ants": 6, "bees": 6})
        Image.new("RGB", (10, 10)).save(root / "ants" / "000.png")

        assert load_dataset(folder_config(root, 28)).train.images.shape[-1] == 32

    @pytest.mark.realdata
    def test_photographs_of_many_sizes_load(self, real_data: Path, tmp_path: Path) -> None:
        with tarfile.open(real_data / "data" / "hymenoptera.tar") as archive:
            archive.extractall(tmp_path, filter="data")
        (root,) = (path.parent for path in tmp_path.rglob("train"))

        dataset = load_dataset(folder_config(root, 28))

        # One of them is a GIF.
        assert (len(dataset.train) + len(dataset.test), len(dataset.val)) == (245, 153)
        assert dataset.train.images.shape[1:] == (3, 32, 32)
        assert (dataset.classes, dataset.skipped) == (("ants", "bees"), 0)

    @pytest.mark.realdata
    def test_photographs_of_one_small_size_are_kept_at_it(
        self, real_data: Path, tmp_path: Path
    ) -> None:
        with tarfile.open(real_data / "data" / "cifar10-jpeg.tar.gz", "r|gz") as archive:
            for member in archive:
                if member.isfile() and member.name.endswith("00.jpg"):
                    archive.extract(member, tmp_path, filter="data")
        (root,) = (path.parent for path in tmp_path.rglob("train"))

        dataset = load_dataset(folder_config(root, 64))

        assert dataset.train.images.shape[1:] == (3, 32, 32)
        assert (len(dataset.classes), dataset.skipped) == (10, 0)
        assert set(dataset.test.labels.tolist()) == set(range(10))


class TestFingerprint:
    def of(self, root: Path, **changes: float) -> str:
        load_dataset.cache_clear()
        return load_dataset(folder_config(root, **changes)).fingerprint

    @pytest.mark.parametrize("name", SPLITS)
    def test_it_changes_with_one_pixel(self, split_folder: Path, name: str) -> None:
        before = self.of(split_folder)
        path = split_folder / name / "ants" / "000.png"
        pixels = np.array(Image.open(path))
        pixels[3, 4, 1] ^= 1
        Image.fromarray(pixels).save(path)

        assert self.of(split_folder) != before

    def test_it_changes_with_a_label(self, split_folder: Path) -> None:
        before = self.of(split_folder)
        ants = split_folder / "train" / "ants"
        images = load_dataset(folder_config(split_folder)).train.images
        (ants / "007.png").rename(split_folder / "train" / "bees" / "-.png")

        assert self.of(split_folder) != before
        assert torch.equal(load_dataset(folder_config(split_folder)).train.images, images)

    def test_it_changes_with_the_name_of_a_class(self, split_folder: Path) -> None:
        before = self.of(split_folder)
        for name in SPLITS:
            (split_folder / name / "bees").rename(split_folder / name / "wasps")

        assert self.of(split_folder) != before

    @pytest.mark.parametrize("share", ["val_fraction", "test_fraction"])
    def test_it_changes_with_the_split(self, flat_folder: Path, share: str) -> None:
        assert self.of(flat_folder, **{share: 0.3}) != self.of(flat_folder)

    def test_it_does_not_change_with_the_path(self, split_folder: Path, tmp_path: Path) -> None:
        shutil.copytree(split_folder, tmp_path / "elsewhere")

        assert self.of(tmp_path / "elsewhere") == self.of(split_folder)

    def test_it_does_not_change_with_the_names_of_files(self, split_folder: Path) -> None:
        before = self.of(split_folder)
        for number, path in enumerate(sorted((split_folder / "train" / "ants").iterdir())):
            path.rename(path.with_name(f"photo-{9 - number}.png"))

        assert self.of(split_folder) == before


class TestCifar10:
    @pytest.fixture
    def batches(self) -> dict[str, NDArray[np.uint8]]:
        """Twenty rows of 3072 pixels a batch, two of each class, in class order."""
        names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
        generator = np.random.default_rng(0)
        return {name: generator.integers(0, 256, (20, 3072), dtype=np.uint8) for name in names}

    @pytest.fixture
    def cache(
        self, tmp_path: Path, batches: dict[str, NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
    ) -> Path:
        """A folder as torchvision leaves it after the download, with checksums that match."""
        root = tmp_path / "datasets"
        (root / CIFAR10.base_folder).mkdir(parents=True)
        labels = [label for label in range(10) for _ in range(2)]
        names = {"label_names": [f"class {label}" for label in range(10)]}
        files = {name: {"data": rows, "labels": labels} for name, rows in batches.items()}
        sums = {}
        for name, content in {**files, "batches.meta": names}.items():
            data = pickle.dumps(content)
            (root / CIFAR10.base_folder / name).write_bytes(data)
            sums[name] = hashlib.md5(data).hexdigest()
        meta = {**CIFAR10.meta, "md5": sums.pop("batches.meta")}
        monkeypatch.setattr(CIFAR10, "meta", meta)
        monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums.pop("test_batch")]])
        monkeypatch.setattr(CIFAR10, "train_list", [list(pair) for pair in sums.items()])
        return root

    @pytest.fixture
    def unreachable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(CIFAR10, "url", (tmp_path / "no-such-server").as_uri())

    def test_its_own_test_split_is_kept(
        self, cache: Path, batches: dict[str, NDArray[np.uint8]]
    ) -> None:
        dataset = load_dataset(DataConfig(source="cifar10", root=cache, split_rule=1))

        assert sizes(dataset) == (80, 20, 20)
        assert dataset.classes == tuple(f"class {label}" for label in range(10))
        expected = torch.from_numpy(batches["test_batch"]).view(-1, 3, 32, 32)
        assert torch.equal(dataset.test.images, expected)
        assert dataset.test.labels.tolist() == [label for label in range(10) for _ in range(2)]
        by_content = load_dataset(DataConfig(source="cifar10", root=cache)).test
        assert rows(by_content) == rows(dataset.test)
        assert dataset.train.labels.dtype == torch.int64

    def test_training_images_are_those_of_the_five_batches(
        self, cache: Path, batches: dict[str, NDArray[np.uint8]]
    ) -> None:
        dataset = load_dataset(DataConfig(source="cifar10", root=cache))

        given = {row.tobytes() for name, rows in batches.items() if "data" in name for row in rows}
        assert rows(dataset.train, dataset.val) == given

    def test_it_is_looked_for_in_torchs_cache_by_default(
        self, cache: Path, monkeypatch: pytest.MonkeyPatch, unreachable: None
    ) -> None:
        monkeypatch.setenv("TORCH_HOME", str(cache.parent))

        assert sizes(load_dataset(DataConfig(source="cifar10")))[2] == 20

    def test_it_is_local_once_it_has_been_downloaded(
        self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert is_local(DataConfig(source="cifar10", root=cache))
        assert not is_local(DataConfig(source="cifar10", root=tmp_path / "elsewhere"))
        assert is_local(DataConfig())
        monkeypatch.setenv("TORCH_HOME", str(cache.parent))
        assert is_local(DataConfig(source="cifar10"))

    def test_of_processes_that_look_for_it_one_downloads_it(
        self, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "here").mkdir()
        archive, fetched, download = tmp_path / "here" / CIFAR10.filename, [], CIFAR10.download
        with tarfile.open(archive, "w:gz") as packed:
            packed.add(cache / CIFAR10.base_folder, CIFAR10.base_folder)
        monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
        at_once = threading.Semaphore(1)

        def slow(self: CIFAR10) -> None:
            assert at_once.acquire(blocking=False), "two download at once"
            fetched.append(not self._check_integrity())
            time.sleep(0.2)
            download(self)
            at_once.release()

        monkeypatch.setattr(CIFAR10, "download", slow)
        given, config = SOURCES["cifar10"], DataConfig(source="cifar10", root=tmp_path / "here")
        with ThreadPoolExecutor() as pool:
            for parts in pool.map(given, [config] * 3):
                assert len(parts.images["train"]) == 100
        assert sum(fetched) == 1

    def test_that_it_cannot_be_downloaded_is_said_with_what_to_do(
        self, tmp_path: Path, unreachable: None
    ) -> None:
        config = DataConfig(source="cifar10", root=tmp_path / "here")

        with pytest.raises(
            ValueError, match=r"not in .*here and could not be downloaded .*put cifar-10-python"
        ):
            load_dataset(config)
