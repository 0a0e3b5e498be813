"""What a model has seen is stored in little, and read back with care."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import save_file

from tests.trainable.data.test_duplicates import load, scene
from trainable.config import DataConfig
from trainable.data.datasets import load_dataset
from trainable.data.decoding.image_file import as_png
from trainable.data.seen import Seen

pytestmark = pytest.mark.usefixtures("no_cached_data")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label, name in enumerate(("ants", "bees")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(40):
            scene(100 * label + number).save(tmp_path / "photos" / name / f"{number:02}.png")
    return tmp_path / "photos"


def test_it_is_read_as_it_was_written(photos: Path, tmp_path: Path) -> None:
    seen = Seen.of(load(photos))
    seen.save(tmp_path / "seen")

    found = Seen.load(tmp_path / "seen")

    assert found.of_files
    assert np.array_equal(found.hashes, seen.hashes)
    assert np.array_equal(found.looks, seen.looks)
    assert (tmp_path / "seen").stat().st_size < 16 * 80 + 300


def test_none_of_its_own_test_images_has_been_seen(photos: Path) -> None:
    dataset = load(photos)

    assert Seen.of(dataset).unseen(dataset).all()


def saved_again(image: Image.Image, path: Path) -> None:
    image.save(path.with_suffix(".jpg"), quality=80)


def made_smaller(image: Image.Image, path: Path) -> None:
    image.resize((64, 64)).save(path)


@pytest.mark.slow
@pytest.mark.parametrize("change", [saved_again, made_smaller])
def test_images_that_were_all_written_anew_are_known_by_their_looks(
    change: Callable[[Image.Image, Path], None], photos: Path, tmp_path: Path
) -> None:
    seen = Seen.of(load(photos))
    before = {path.parent.name + path.stem for path in load(photos).test.files}
    for path in sorted(photos.rglob("*.png")):
        image = Image.open(path)
        image.load()
        path.unlink()
        change(image, path)

    dataset = load(photos)
    names = [path.parent.name + path.stem for path in dataset.test.files]

    assert Seen.of(load(photos)).hashes.tolist() != seen.hashes.tolist()
    assert seen.unseen(dataset).tolist() == [name in before for name in names]
    assert not all(name in before for name in names)


def test_a_copy_of_what_was_seen_is_seen(photos: Path) -> None:
    seen = Seen.of(load(photos))
    train = load(photos).train.files[0]
    shutil.copy(train, photos / "ants" / "again.png")

    dataset = load(photos)

    assert seen.unseen(dataset).sum() == len(dataset.test)
    assert (
        not Seen.of(dataset).unseen_groups(load(photos, test_fraction=0.9, val_fraction=0.5)).all()
    )


def test_of_a_file_it_is_known_whether_it_or_a_copy_was_seen(photos: Path, tmp_path: Path) -> None:
    dataset = load(photos)
    seen, side = Seen.of(dataset), dataset.train.images.shape[-1]
    assert all(seen.has_seen(path, side) for path in (*dataset.train.files, *dataset.val.files))
    assert not any(seen.has_seen(path, side) for path in dataset.test.files)
    copy = tmp_path / "copy.jpg"
    Image.open(dataset.train.files[0]).save(copy, quality=80)
    assert seen.has_seen(copy, side)


def test_of_pixels_in_memory_it_is_known_from_a_file_of_them(tmp_path: Path) -> None:
    dataset = load_dataset(DataConfig(limit=100))
    seen, side = Seen.of(dataset), dataset.train.images.shape[-1]
    for split, expected in ((dataset.val, True), (dataset.test, False)):
        for image in split.images:
            (tmp_path / "one.png").write_bytes(as_png(image.permute(1, 2, 0).numpy()))
            assert seen.has_seen(tmp_path / "one.png", side) is expected


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"files": np.zeros(3, np.uint64)},
        {"looks": np.zeros(3, np.uint64)},
        {"files": np.zeros(3, np.float32), "looks": np.zeros(3, np.uint64)},
    ],
)
def test_another_file_is_refused(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    save_file(arrays, tmp_path / "seen")

    with pytest.raises(ValueError, match="holds no hashes"):
        Seen.load(tmp_path / "seen")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "seen").write_bytes(b"nothing")

    with pytest.raises((SafetensorError, ValueError)):
        Seen.load(tmp_path / "seen")
