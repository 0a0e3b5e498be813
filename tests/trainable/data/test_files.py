"""Image files decoded into the store: the same data as in memory, and read once."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from trainable.config import DataConfig
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.decoding import facts, files
from trainable.data.decoding.files import IMAGES
from trainable.data.decoding.image_file import read_squares
from trainable.data.parts import SPLITS
from trainable.data.stored import Rows
from trainable.runtime import ImageCache
from trainable.store.arrays import ArrayStore

pytestmark = pytest.mark.usefixtures("no_cached_data")

NOWHERE = ImageCache(max_bytes=0)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 24 photographs, two of which are copies; enough to be stored."""
    root = tmp_path_factory.mktemp("photographs")
    for label, name in enumerate(("ants", "bees")):
        (root / name).mkdir()
        for number in range(24):
            noise = np.random.default_rng((label, number)).integers(0, 256, (110, 120, 3))
            Image.fromarray(noise.astype(np.uint8)).save(root / name / f"{number:02}.png")
        Image.open(root / name / "03.png").resize((90, 80)).save(root / name / "03-copy.jpg")
    shutil.copy(root / "ants" / "05.png", root / "ants" / "05-copy.png")
    return root


@pytest.fixture
def own(photographs: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(photographs, tmp_path / "own"))


@pytest.fixture
def cache(tmp_path: Path) -> ImageCache:
    return ImageCache(str(tmp_path / "store"))


class Reads:
    """Counts the files that are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.facts, self.pixels = list[Path](), list[Path]()
        original = facts.facts_of

        def note_facts(some: Sequence[Path], identities: np.ndarray) -> facts.Facts:
            self.facts.extend(some)
            return original(some, identities)

        def note_pixels(some: Sequence[Path], side: int) -> np.ndarray:
            self.pixels.extend(some)
            return read_squares(some, side)

        monkeypatch.setattr(files, "facts_of", note_facts)
        monkeypatch.setattr(files, "read_squares", note_pixels)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


def load(root: Path, cache: ImageCache, **changes: object) -> Dataset:
    load_dataset.cache_clear()
    given = {"source": "image_folder", "root": root, "image_size": 28, **changes}
    return load_dataset(DataConfig.model_validate(given), cache)


def assert_same(one: Dataset, other: Dataset) -> None:
    assert (one.fingerprint, one.classes) == (other.fingerprint, other.classes)
    assert one.test_fingerprint() == other.test_fingerprint()
    for name in SPLITS:
        first, second = one.split(name), other.split(name)
        assert torch.equal(first.images[:], second.images[:])
        assert torch.equal(first.labels, second.labels)
        assert first.files == second.files
        for array in ("hashes", "groups", "looks", "together"):
            assert np.array_equal(getattr(first, array), getattr(second, array))


@pytest.mark.parametrize("changes", [{}, {"split_rule": 1}, {"fold": "2/3"}, {"limit": 30}])
def test_stored_images_are_the_same_data_as_those_in_memory(
    photographs: Path, cache: ImageCache, changes: dict[str, object]
) -> None:
    in_memory = load(photographs, NOWHERE, **changes)
    first, second = (load(photographs, cache, **changes) for _ in range(2))

    assert isinstance(in_memory.train.images, torch.Tensor)
    for stored in (first, second):
        assert isinstance(stored.train.images, Rows)
        assert_same(stored, in_memory)
    assert len(np.unique(in_memory.train.groups)) < len(in_memory.train) or changes


def test_a_second_start_reads_no_file_and_hashes_no_pixel(
    photographs: Path, cache: ImageCache, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(photographs, cache)
    count = sum(len(first.split(name)) for name in SPLITS)
    assert len(reads.facts) == len(reads.pixels) == count

    def chunks(_: object) -> Iterator[None]:
        raise AssertionError("pixels are read")

    monkeypatch.setattr("trainable.data.chosen.Chosen.chunks", chunks)
    monkeypatch.setattr("trainable.data.datasets.group_images", chunks)
    assert load(photographs, cache).fingerprint == first.fingerprint
    assert load(photographs, cache, image_size=28, fold="1/2").classes == first.classes
    assert len(reads.facts) == len(reads.pixels) == count


def test_of_a_folder_with_an_image_more_that_one_alone_is_read(
    own: Path, cache: ImageCache, reads: Reads
) -> None:
    load(own, cache)
    reads.facts.clear()
    reads.pixels.clear()
    new = own / "bees" / "new.png"
    Image.fromarray(np.random.default_rng(9).integers(0, 256, (64, 80, 3)).astype(np.uint8)).save(
        new
    )

    found = load(own, cache)

    assert reads.facts == reads.pixels == [new]
    assert_same(found, load(own, NOWHERE))


def test_a_limited_search_takes_what_a_whole_one_has_decoded(
    photographs: Path, cache: ImageCache, reads: Reads
) -> None:
    load(photographs, cache)
    count = len(reads.pixels)

    load(photographs, cache, limit=40)

    assert len(reads.facts) == len(reads.pixels) == count


def test_a_file_of_another_content_is_noticed_whatever_time_it_bears(
    own: Path, cache: ImageCache
) -> None:
    before = load(own, cache)
    path = own / "ants" / "07.png"
    stat, content = path.stat(), path.read_bytes()
    pixels = np.array(Image.open(path))
    pixels[3, 4, 1] ^= 1
    Image.fromarray(pixels).save(path)
    if path.stat().st_size < len(content):  # what follows the end of a PNG is not read
        path.write_bytes(path.read_bytes().ljust(len(content), b"\0"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    found = load(own, cache)

    assert found.fingerprint != before.fingerprint
    assert_same(found, load(own, NOWHERE))


def test_a_folder_that_moved_is_the_same_data(
    photographs: Path, own: Path, cache: ImageCache
) -> None:
    assert load(photographs, cache).fingerprint == load(own, cache).fingerprint


def entry(cache: ImageCache, what: str) -> Path:
    assert cache.root is not None
    entries = ArrayStore(Path(cache.root)).entries()
    (found,) = (each.folder for each in entries if each.key["what"] == what)
    return found


def test_damaged_pixels_are_decoded_again(photographs: Path, cache: ImageCache) -> None:
    expected = load(photographs, NOWHERE)
    load(photographs, cache)
    load_dataset.cache_clear()
    path = entry(cache, "pixels") / "data"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    found = load(photographs, cache)
    with pytest.warns(RuntimeWarning, match="is damaged .*computed again"):
        assert_same(found, expected)
    assert not path.exists()
    assert_same(load(photographs, cache), expected)


@pytest.mark.parametrize("what", ["facts", "groups", "fingerprint"])
def test_what_else_is_damaged_is_found_again(
    photographs: Path, cache: ImageCache, what: str
) -> None:
    expected = load(photographs, cache).fingerprint
    load_dataset.cache_clear()
    (entry(cache, what) / "data").write_bytes(b"?")

    with pytest.warns(RuntimeWarning, match="is damaged"):
        assert load(photographs, cache).fingerprint == expected


def test_few_files_are_not_worth_storing(own: Path, cache: ImageCache) -> None:
    for path in own.rglob("*[12]?.png"):
        path.unlink()

    assert isinstance(load(own, cache).train.images, torch.Tensor)
    assert cache.root is not None
    assert not Path(cache.root).exists()


class TestNoRoom:
    def test_what_the_cache_may_not_hold_is_decoded_into_memory(
        self, photographs: Path, tmp_path: Path
    ) -> None:
        found = load(photographs, ImageCache(str(tmp_path / "store"), 100_000))

        assert isinstance(found.train.images, torch.Tensor)
        assert_same(found, load(photographs, NOWHERE))
        assert found.notes == ()

    @pytest.mark.parametrize(
        ("max_bytes", "why"), [(100_000, "the cache may hold 0.0 GB more"), (0, "the cache is off")]
    )
    def test_what_memory_has_no_room_for_either_is_decoded_as_it_is_read(
        self,
        photographs: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        max_bytes: int,
        why: str,
    ) -> None:
        expected = load(photographs, NOWHERE)
        little = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=100_000))
        monkeypatch.setattr(files, "psutil", little)

        found = load(photographs, ImageCache(str(tmp_path / "store"), max_bytes))

        assert isinstance(found.train.images, Rows)
        assert_same(found, expected)
        (note,) = found.notes
        assert re.search(rf"51 images take 0.0 GB .*{why}.*lower data.image_size", note)

    def test_a_cache_that_is_read_only_lends_what_it_has(
        self, photographs: Path, cache: ImageCache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = load(photographs, cache)
        monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere

        assert isinstance(load(photographs, cache).train.images, Rows)
        with pytest.warns(RuntimeWarning, match="the cache is read-only"):
            found = load(photographs, cache, image_size=24)
        assert isinstance(found.train.images, torch.Tensor)
        assert sorted(found.test.files) == sorted(expected.test.files)

    def test_a_disk_that_is_full_is_told_before_anything_is_decoded(
        self, photographs: Path, cache: ImageCache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = SimpleNamespace(free=200_000)
        monkeypatch.setattr("trainable.store.capacity.shutil.disk_usage", lambda _: usage)

        found = load(photographs, cache, image_size=56)  # 64 x 64 x 3 x 51 bytes

        assert isinstance(found.train.images, torch.Tensor)
        assert cache.root is not None
        kept = {each.key["what"] for each in ArrayStore(Path(cache.root)).entries()}
        assert "pixels" not in kept


def test_all_files_that_cannot_be_read_are_named_at_once(own: Path, cache: ImageCache) -> None:
    broken = [own / "ants" / "01.png", own / "bees" / "02.png"]
    for path in broken:
        path.write_bytes(path.read_bytes()[:2000])

    for where in (cache, NOWHERE):
        with pytest.raises(ValueError, match="2 files cannot be read as images: ") as error:
            load(own, where)
        assert all(str(path) in str(error.value) for path in broken)


def test_images_do_not_count_with_activations(photographs: Path, cache: ImageCache) -> None:
    load(photographs, cache)
    assert cache.root is not None
    store = ArrayStore(Path(cache.root), 1)
    images = ArrayStore(Path(cache.root), 1, IMAGES)

    assert store.why_no_room(1) is None
    assert "may hold 0.0 GB more" in str(images.why_no_room(2))
    assert {each.kind for each in store.entries()} == {IMAGES}


class TestRows:
    @pytest.fixture
    def sources(self) -> tuple[torch.Tensor, Rows, Rows]:
        """Ten images as they lie, and the first and the last five of them."""

        class Held:
            def __init__(self, array: torch.Tensor) -> None:
                self.array = array
                self.shape = tuple(array.shape)

            def take(self, rows: np.ndarray) -> torch.Tensor:
                return self.array[torch.from_numpy(rows)]

        images = torch.arange(10 * 4 * 4 * 3).reshape(10, 4, 4, 3).to(torch.uint8)
        first, last = Held(images[:5]), Held(images[5:])
        return (
            images.permute(0, 3, 1, 2).contiguous(),
            Rows((first,), np.arange(5)),
            Rows((last,), np.arange(5)),
        )

    def test_they_are_indexed_as_a_tensor_is(
        self, sources: tuple[torch.Tensor, Rows, Rows]
    ) -> None:
        images, first, last = sources
        rows = first.joined(last)

        assert rows.shape == tuple(images.shape)
        assert rows.nbytes == images.nbytes
        assert len(rows) == 10
        for which in (3, -1, slice(2, 8), slice(None), slice(4, 4), torch.tensor([7, 0, 7])):
            assert torch.equal(rows[which], images[which])
            assert rows[which].is_contiguous()
        assert torch.equal(torch.cat(list(rows.split(3))), images)
        assert torch.equal(torch.stack(list(rows)), images)

    def test_some_of_some_are_not_read(self, sources: tuple[torch.Tensor, Rows, Rows]) -> None:
        images, first, last = sources
        some = last.joined(first).at(np.array([9, 1, 1])).joined(first.at(np.array([0])))

        assert torch.equal(some[:], images[[4, 6, 6, 0]])

    def test_pytorch_takes_them_for_tensors(self, sources: tuple[torch.Tensor, Rows, Rows]) -> None:
        images, first, last = sources

        assert torch.equal(torch.cat([first, last]), images)
        assert torch.equal(first, images[:5])
