"""Images at a URL: copied once, then only what has changed, and never outside their folder."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import known_implementations
from pydantic import ValidationError

from trainable.config import DataConfig
from trainable.data.datasets import is_local, load_dataset
from trainable.data.forms import remote
from trainable.data.forms.remote import DataAwayError, fetched, folder_of, is_fetched
from trainable.runtime import COMMAND
from trainable.store.arrays import ArrayStore, default_root

WriteClasses = Callable[..., Path]
URL = "memory://bucket/photos"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(COMMAND, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def bucket(tmp_path: Path, write_classes: WriteClasses) -> Iterator[MemoryFileSystem]:
    files = fsspec.filesystem("memory")
    photos = write_classes(tmp_path / "photos", {"ants": 8, "bees": 8})
    for path in photos.glob("*/*"):
        files.pipe(f"/bucket/photos/{path.relative_to(photos)}", path.read_bytes())
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


@pytest.fixture
def gets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are fetched."""
    names: list[str] = []
    get = MemoryFileSystem.get

    def noted(self: Any, remote_names: list[str], *args: Any, **named: Any) -> Any:
        names.extend(remote_names)
        return get(self, remote_names, *args, **named)

    monkeypatch.setattr(MemoryFileSystem, "get", noted)
    return names


def config(root: str = URL, **more: str) -> DataConfig:
    return DataConfig.model_validate(
        {"source": "image_folder", "root": root, "image_size": 12, **more}
    )


@pytest.mark.usefixtures("no_cached_data", "bucket")
def test_it_gives_the_images_that_the_folder_does(tmp_path: Path) -> None:
    assert not is_local(config())
    there = load_dataset(config())
    load_dataset.cache_clear()
    here = load_dataset(config(str(tmp_path / "photos")))

    assert there.fingerprint == here.fingerprint
    assert there.train.files[0].is_relative_to(folder_of(URL))
    assert folder_of(URL).name == "photos"
    assert is_local(config())


def test_a_file_is_fetched_once_and_again_only_when_it_has_changed(
    bucket: MemoryFileSystem, gets: list[str]
) -> None:
    fetched(URL)
    assert len(gets) == 16
    gets.clear()
    fetched(URL + "/")
    assert gets == []
    bucket.pipe("/bucket/photos/ants/000.png", b"another")
    bucket.pipe("/bucket/photos/ants/new.png", b"new")
    bucket.rm("/bucket/photos/bees/000.png")

    folder = fetched(URL)

    assert gets == ["/bucket/photos/ants/000.png", "/bucket/photos/ants/new.png"]
    assert (folder / "ants" / "000.png").read_bytes() == b"another"
    assert not (folder / "bees" / "000.png").exists()
    assert len(list(folder.rglob("*.png"))) == 16


def test_what_a_killed_process_had_fetched_is_not_fetched_again(
    bucket: MemoryFileSystem, gets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_AT_ONCE", 5)
    write, times = remote._Fetch._write, []

    def killed(self: Any, marks: Any) -> None:
        write(self, marks)
        times.append(1)
        if len(times) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(remote._Fetch, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            fetched(URL)
    assert len(gets) == 10

    folder = fetched(URL)

    assert len(gets) == len(set(gets)) == 16
    assert len(list(folder.rglob("*.png"))) == 16


def test_a_class_that_is_gone_leaves_no_folder(bucket: MemoryFileSystem) -> None:
    folder = fetched(URL)
    bucket.mv("/bucket/photos/ants", "/bucket/photos/wasps", recursive=True)

    load_dataset.cache_clear()
    dataset = load_dataset(config())

    assert dataset.classes == ("bees", "wasps")
    assert sorted(path.name for path in folder.iterdir()) == ["bees", "wasps"]


def test_a_folder_may_take_a_files_name_and_a_file_a_folders(bucket: MemoryFileSystem) -> None:
    bucket.pipe("/bucket/photos/ants/more", b"x")
    bucket.pipe("/bucket/photos/ants/some/1.png", b"x")
    folder = fetched(URL)
    bucket.rm("/bucket/photos/ants/more")
    bucket.rm("/bucket/photos/ants/some", recursive=True)
    bucket.pipe("/bucket/photos/ants/more/1.png", b"x")
    bucket.pipe("/bucket/photos/ants/some", b"x")

    fetched(URL)

    assert (folder / "ants" / "more" / "1.png").is_file()
    assert (folder / "ants" / "some").is_file()


def test_what_a_killed_process_fetched_and_did_not_note_goes_with_its_source(
    bucket: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Any, marks: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(remote._Fetch, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            fetched(URL)
    bucket.rm("/bucket/photos/ants/000.png")

    folder = fetched(URL)

    assert not (folder / "ants" / "000.png").exists()
    assert len(list(folder.rglob("*.png"))) == 15


def test_a_copy_that_was_deleted_is_fetched_again(
    bucket: MemoryFileSystem, gets: list[str]
) -> None:
    (fetched(URL) / "ants" / "000.png").unlink()
    gets.clear()
    fetched(URL)
    assert gets == ["/bucket/photos/ants/000.png"]


class TestListing:
    """The URL is listed once a machine for all processes of a command."""

    @pytest.fixture
    def finds(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The folders that are listed."""
        names: list[str] = []
        find = MemoryFileSystem.find

        def noted(self: Any, path: str, *args: Any, **named: Any) -> Any:
            names.append(path)
            return find(self, path, *args, **named)

        monkeypatch.setattr(MemoryFileSystem, "find", noted)
        return names

    def test_the_processes_of_a_command_take_the_word_of_the_first(
        self, bucket: MemoryFileSystem, finds: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(COMMAND, "one")
        folder = fetched(URL)
        bucket.pipe("/bucket/photos/ants/new.png", b"new")
        for _ in range(3):
            assert fetched(URL) == folder
        assert len(finds) == 1
        monkeypatch.setenv(COMMAND, "another")
        fetched(URL)
        assert len(finds) == 2
        assert (folder / "ants" / "new.png").exists()
        monkeypatch.setenv(COMMAND, "one")  # whose other processes may still come
        fetched(URL)
        assert len(finds) == 2

    def test_without_a_command_each_lists(self, bucket: MemoryFileSystem, finds: list[str]) -> None:
        for _ in range(2):
            fetched(URL)
        assert len(finds) == 2

    @pytest.mark.parametrize("gone", ["copy", "manifest.json", "listed.json"])
    def test_where_the_copy_or_what_is_known_of_it_is_gone_it_is_listed_again(
        self, gone: str, bucket: MemoryFileSystem, finds: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(COMMAND, "one")
        folder = fetched(URL)
        path = folder / "ants" / "000.png" if gone == "copy" else folder.parent / gone
        path.unlink()
        fetched(URL)
        assert len(finds) == 2
        assert path.exists()

    def test_one_that_was_killed_while_it_fetched_has_not_listed_for_the_others(
        self, bucket: MemoryFileSystem, finds: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(COMMAND, "one")

        def killed(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(MemoryFileSystem, "get", killed)
            with pytest.raises(KeyboardInterrupt):
                fetched(URL)
        folder = fetched(URL)
        assert len(finds) == 2
        assert len(list(folder.rglob("*.png"))) == 16


def test_what_can_be_no_image_is_not_fetched(bucket: MemoryFileSystem, gets: list[str]) -> None:
    for name in (
        ".hidden/x.png",
        "__MACOSX/x.png",
        "ants/film.mp4",
        "ants/all.zip",
        "ants/notes.txt",
    ):
        bucket.pipe(f"/bucket/photos/{name}", b"x")
    bucket.pipe("/bucket/photos/ants/scan", b"x")
    fetched(URL)
    assert len(gets) == 17


def test_a_table_comes_with_its_folder(bucket: MemoryFileSystem) -> None:
    lines = [f"{name}/{n:03}.png,{name}" for name in ("ants", "bees") for n in range(8)]
    bucket.pipe("/bucket/photos/labels.csv", "\n".join(["path,label", *lines]).encode())
    load_dataset.cache_clear()

    dataset = load_dataset(config(f"{URL}/labels.csv", source="table"))

    assert dataset.classes == ("ants", "bees")
    assert dataset.train.files[0].is_relative_to(folder_of(f"{URL}/labels.csv"))
    assert folder_of(f"{URL}/labels.csv") == folder_of(URL)
    assert is_fetched(f"{URL}/labels.csv")


def test_a_name_that_leads_elsewhere_is_not_written(
    bucket: MemoryFileSystem, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = MemoryFileSystem.find

    def hostile(self: Any, *args: Any, **named: Any) -> Any:
        found = find(self, *args, **named)
        some = next(iter(found.values()))
        return {**found, "/bucket/photos/../../evil.png": some, "/etc/evil.png": some}

    monkeypatch.setattr(MemoryFileSystem, "find", hostile)
    fetched(URL)
    assert not list(cache.parent.rglob("*evil*"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "memory://bucket/nothing",
            r"data\.root=memory://bucket/nothing has no files: check its sp",
        ),
        ("nosuch://bucket", r"cannot be fetched \(ValueError: Protocol not known: nosuch"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_what_is_not_there_is_refused(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fetched(url)


def failing(monkeypatch: pytest.MonkeyPatch, method: str, errors: list[Exception]) -> None:
    """Have the server fail by these errors, one after the other, and then answer."""
    ask = getattr(MemoryFileSystem, method)

    def fail(self: Any, *args: Any, **named: Any) -> Any:
        if errors:
            raise errors.pop(0)
        return ask(self, *args, **named)

    monkeypatch.setattr(MemoryFileSystem, method, fail)


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("method", ["find", "get"])
def test_a_server_that_is_away_for_a_moment_is_asked_again(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, method, [ConnectionError("refused"), TimeoutError("late")])
    assert len(list(fetched(URL).rglob("*.png"))) == 16


@pytest.mark.usefixtures("bucket")
def test_one_that_stays_away_may_be_there_later_and_one_that_refuses_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote, "_PATIENCE", 0.3)
    failing(monkeypatch, "find", [ConnectionError("refused")] * 100)
    with pytest.raises(DataAwayError, match=r"data\.root=memory.*cannot be fetched .*refused"):
        fetched(URL)
    refused: list[Exception] = [PermissionError("Forbidden"), PermissionError("Forbidden")]
    failing(monkeypatch, "find", refused)
    with pytest.raises(ValueError, match="Forbidden") as caught:
        fetched(URL)
    assert not isinstance(caught.value, DataAwayError)
    assert len(refused) == 1


def test_a_full_disk_is_not_waited_for(
    bucket: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    full: list[Exception] = [OSError(errno.ENOSPC, "No space left on device")] * 2
    failing(monkeypatch, "get", full)
    with pytest.raises(ValueError, match="No space left"):
        fetched(URL)
    assert len(full) == 1


def test_a_package_that_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = {"class": "no_such_package.Files", "err": "Install s3fs to access S3"}
    monkeypatch.setitem(known_implementations, "lacking", lacking)
    with pytest.raises(
        ValueError, match=r"data\.root=lacking://x: Install s3fs to access S3, with"
    ):
        fetched("lacking://x")


def test_without_room_it_is_refused_before_the_first_file(
    bucket: MemoryFileSystem, gets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(ValueError, match=r"0\.0 GB are to be fetched, and .*TUNE_CACHE"):
        fetched(URL)
    assert gets == []


def test_clearing_the_cache_of_activations_leaves_it(bucket: MemoryFileSystem) -> None:
    folder = fetched(URL)
    store = ArrayStore(default_root())
    assert store.entries() == []
    assert store.clear() == 0
    assert folder.is_dir()


class TestConfig:
    def test_a_url_stays_one_through_a_record(self) -> None:
        given = config("s3://bucket/photos")
        assert given.root == "s3://bucket/photos"
        assert DataConfig.model_validate_json(given.model_dump_json()) == given
        assert json.loads(given.model_dump_json())["root"] == "s3://bucket/photos"
        assert given.origin == "image_folder s3://bucket/photos"

    def test_a_path_stays_a_path(self) -> None:
        assert config("photos").root == Path("photos")
        assert DataConfig.model_validate_json(config("photos").model_dump_json()).root == Path(
            "photos"
        )

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"root": "s3://user:secret@bucket/photos"}, "a URL without a user and a password"),
            (
                {"source": "cifar10", "root": "s3://bucket"},
                r"data\.source=cifar10 takes a folder of this machine",
            ),
        ],
    )
    def test_what_it_may_not_be_is_refused(self, given: dict[str, str], said: str) -> None:
        with pytest.raises(ValidationError, match=said):
            DataConfig.model_validate({"source": "image_folder", **given})
