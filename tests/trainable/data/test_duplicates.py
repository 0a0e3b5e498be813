"""Copies of an image are one group, whatever was done to them, and lie in one split."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from trainable.config import DataConfig
from trainable.data.copies import copy_groups, describe_copies
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.decoding.image_file import read_both, read_small, read_square
from trainable.data.looks import Looks
from trainable.data.parts import SPLITS
from trainable.data.splitting.duplicates import LARGEST_CHAIN, group_images, near_pairs

pytestmark = pytest.mark.usefixtures("no_cached_data")


def scene(number: int, side: int = 96) -> Image.Image:
    """Blurred noise in colour: large shapes and small ones, as a photograph has."""
    draw = np.random.default_rng(number)
    coarse = Image.fromarray(draw.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    fine = Image.fromarray(draw.integers(0, 256, (side, side, 3), dtype=np.uint8))
    shapes = coarse.resize((side, side), Image.Resampling.BICUBIC)
    return Image.blend(shapes, fine.filter(ImageFilter.GaussianBlur(1)), 0.2)


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda image: image,
    "smaller": lambda image: image.resize((48, 48)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "flatter": lambda image: ImageEnhance.Contrast(image).enhance(0.8),
    "cut": lambda image: image.crop((1, 1, 95, 95)),
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label, name in enumerate(("ants", "bees")):
        (tmp_path / name).mkdir()
        for number in range(30):
            scene(100 * label + number).save(tmp_path / name / f"{number:02}.png")
    return tmp_path


def load(root: Path, **changes: object) -> Dataset:
    load_dataset.cache_clear()
    given = {"source": "image_folder", "root": root, "image_size": 32, **changes}
    return load_dataset(DataConfig.model_validate(given))


def looks_of(images: list[Image.Image]) -> Looks:
    return Looks.of_pixels(np.stack([np.asarray(image.resize((64, 64))) for image in images]))


def told(root: Path) -> str:
    return describe_copies(copy_groups(load(root)))


@pytest.mark.parametrize("kind", ["jpg", pytest.param("png", marks=pytest.mark.slow)])
@pytest.mark.parametrize("change", COPIES)
def test_a_copy_is_found_and_lies_in_the_same_split(change: str, kind: str, photos: Path) -> None:
    for number in range(5):
        copy = COPIES[change](scene(number))
        copy.save(photos / "ants" / f"copy-{number}.{kind}", quality=70)

    dataset = load(photos)
    groups = copy_groups(dataset)

    assert {frozenset(c.name[-6:-4] for c in g.copies) for g in groups} == {
        frozenset({f"0{number}", f"-{number}"}) for number in range(5)
    }
    assert all(len(group.splits) == 1 for group in groups)
    assert describe_copies(groups) == "5 groups of exact or near duplicates, 10 images"


def test_of_images_without_copies_nothing_is_said(photos: Path) -> None:
    assert told(photos) == ""


def test_a_copy_of_another_label_is_said(photos: Path) -> None:
    shutil.copy(photos / "ants" / "03.png", photos / "bees" / "ant.png")

    assert told(photos) == (
        "1 group of exact or near duplicates, 2 images; 1 group of different labels"
    )
    (group,) = copy_groups(load(photos))
    assert group.labels == ["ants", "bees"]


def test_of_several_labels_each_of_a_duplicates_counts(photos: Path) -> None:
    """Also where the rarest of them, by which images are split, is the same."""
    shutil.copy(photos / "ants" / "03.png", photos / "bees" / "ant.png")
    rows = ["path,label"]
    for path in sorted(photos.rglob("*.png")):
        labels = {"03.png": "rare|usual", "ant.png": "rare", "07.png": "rare"}
        rows.append(f"{path},{labels.get(path.name, 'usual')}")
    (photos / "labels.csv").write_text("\n".join(rows))
    dataset = load(photos / "labels.csv", source="table", labels="several")

    (group,) = copy_groups(dataset)

    assert group.labels == ["rare", "rare|usual"]
    assert {copy.name for copy in group.copies} == {"ants/03.png", "bees/ant.png"}
    assert "; 1 group of different labels" in describe_copies([group])


def test_copies_across_given_splits_are_said_and_left_where_they_are(
    photos: Path, tmp_path: Path
) -> None:
    root = tmp_path / "parts"
    for name in SPLITS:
        for label in ("ants", "bees"):
            shutil.copytree(photos / label, root / name / label)
        for path in (root / name).rglob("*.png"):
            if int(path.stem) % 3 != SPLITS.index(name):
                path.unlink()
    shutil.copy(root / "train" / "ants" / "00.png", root / "test" / "ants" / "again.png")

    dataset = load(root)

    assert [len(dataset.split(name)) for name in SPLITS] == [20, 20, 21]
    assert describe_copies(copy_groups(dataset)) == (
        "1 group of exact or near duplicates, 2 images; 1 group in more than one split; "
        "1 test image with a duplicate among the training or validation images"
    )


def test_rule_1_does_not_keep_them_together_but_says_so(photos: Path) -> None:
    for number in range(30):
        scene(number).save(photos / "ants" / f"copy-{number}.jpg")

    by_place, by_content = load(photos, split_rule=1), load(photos)

    assert "in more than one split" in describe_copies(copy_groups(by_place))
    assert "in more than one split" not in describe_copies(copy_groups(by_content))


def test_another_size_of_the_network_finds_the_same_groups(photos: Path) -> None:
    for number in range(5):
        scene(number).save(photos / "ants" / f"copy-{number}.jpg", quality=60)

    small, large = (copy_groups(load(photos, image_size=size)) for size in (16, 64))

    assert small == large


def test_small_images_and_plain_ones_are_grouped_if_they_are_the_same_alone(
    tmp_path: Path,
) -> None:
    for name in ("ants", "bees"):
        (tmp_path / name).mkdir()
        for number in range(12):
            plain = Image.new("RGB", (64, 64), (200 + number, 255, 255))
            plain.save(tmp_path / name / f"plain-{number}.png")
            scene(number).resize((16, 16)).save(tmp_path / name / f"small-{number}.png")
            scene(number).resize((17, 17)).save(tmp_path / name / f"other-{number}.png")

    groups = copy_groups(load(tmp_path))

    assert sorted(len(group.copies) for group in groups) == [2] * 36  # of ants and bees


def test_pictures_in_memory_are_compared_too_unless_they_are_tiny() -> None:
    images = np.stack([np.asarray(scene(number, 40)) for number in (0, 1, 2, 0)])
    images[3] = np.clip(images[3].astype(int) + 6, 0, 255)

    assert near_pairs(Looks.of_pixels(images)).tolist() == [[0, 3]]
    assert len(near_pairs(Looks.of_pixels(images[:, :31, :31]))) == 0


def test_the_group_is_the_smallest_hash_of_its_images() -> None:
    hashes = np.array([9, 4, 7, 4, 2], np.uint64)
    looks = looks_of([scene(0), scene(1), scene(0), scene(1), scene(2)])

    assert group_images(hashes, Looks.empty(5)).tolist() == [9, 4, 7, 4, 2]
    assert group_images(hashes, looks).tolist() == [7, 4, 7, 4, 2]


def test_a_chain_of_images_that_change_little_by_little_is_no_giant_group() -> None:
    def between(start: Image.Image, end: Image.Image, count: int) -> list[Image.Image]:
        return [Image.blend(start, end, step / count) for step in range(count)]

    stops = [scene(number) for number in range(9)]
    drifting = [
        image for one, other in itertools.pairwise(stops) for image in between(one, other, 20)
    ]
    short, long = drifting[:20], drifting
    for images, largest in ((short, 20), (long, LARGEST_CHAIN)):
        groups = group_images(np.arange(len(images), dtype=np.uint64), looks_of(images))
        sizes = np.unique(groups, return_counts=True)[1]
        assert 1 < sizes.max() <= largest
    assert sizes.max() < 40  # not all of its neighbours' neighbours


def random_looks(count: int) -> Looks:
    draw = np.random.default_rng(0)
    hashes = draw.integers(0, 2**63, count, dtype=np.uint64)
    thumbs: NDArray[np.uint8] = draw.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return Looks(hashes, thumbs)


def test_pairs_are_found_without_comparing_all() -> None:
    looks = random_looks(20_000)
    looks.hashes[7], looks.thumbs[7] = looks.hashes[19_000] ^ np.uint64(0b101), looks.thumbs[19_000]
    start = time.process_time()

    assert near_pairs(looks).tolist() == [[7, 19_000]]
    assert time.process_time() - start < 5


def test_of_one_hash_shared_by_all_nothing_is_concluded() -> None:
    looks = random_looks(5000)
    looks.hashes[:] = 3

    assert len(near_pairs(looks)) == 0


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
@pytest.mark.parametrize("side", [16, 200])
def test_what_is_read_at_once_is_what_is_read_one_by_one(
    name: str, side: int, tmp_path: Path
) -> None:
    scene(1, 300).save(tmp_path / name)

    square, small = read_both(tmp_path / name, side)

    assert np.array_equal(square, read_square(tmp_path / name, side))
    assert small is not None
    assert np.array_equal(small, read_small(tmp_path / name))
