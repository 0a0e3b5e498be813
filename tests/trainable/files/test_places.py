"""A file in a place is there whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from trainable.files.places import Place, make_durable, why_not_writable


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "not [yet] there")


def refuse_links(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)


def test_a_file_is_read_as_it_was_written_and_replaced(place: Place) -> None:
    assert (place.exists("a"), place.names()) == (False, [])
    for content in (b"one", b"two"):
        place.write("a", content)
        assert place.read("a") == content
    assert (place.exists("a"), place.names()) == (True, ["a"])


def test_a_relative_folder_stays_where_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Place(Path("~name")).write("a", b"one")
    assert (tmp_path / "~name" / "a").read_bytes() == b"one"


def test_names_are_those_that_fit(place: Place) -> None:
    for name in ("b.pt", "a.pt", "c.json"):
        place.write(name, b"")
    assert place.names("*.pt") == ["a.pt", "b.pt"]


def test_an_error_while_writing_leaves_the_file_before(place: Place) -> None:
    place.write("a", b"one")
    with pytest.raises(TypeError), place.writing("a") as file:
        file.writelines([b"tw", "not bytes"])  # type: ignore[list-item]
    assert (place.read("a"), place.names()) == (b"one", ["a"])


def test_a_private_file_is_its_owners_alone_from_the_first_byte(place: Place) -> None:
    place.write("a", b"for all")
    with place.writing("a", private=True) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
        file.write(b"secret")
    assert stat.S_IMODE((place.folder / "a").stat().st_mode) == 0o600


def test_a_durable_file_is_on_the_disk_and_then_its_name(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, list[str]]] = []
    monkeypatch.setattr(
        os, "fsync", lambda number: synced.append((os.fstat(number).st_size, place.names("a")))
    )
    place.write("a", b"one", durable=True)
    place.write("b", b"two")
    assert synced[0] == (3, [])
    assert [names for _, names in synced] == [[], ["a"]]


def test_all_of_a_folder_is_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    (folder / "inner").mkdir(parents=True)
    paths = [folder / "a", folder / "inner" / "b"]
    for path in paths:
        path.write_text("text")
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino))
    make_durable(folder)
    wanted = [*paths, folder, folder / "inner", tmp_path]
    assert sorted(synced) == sorted(path.stat().st_ino for path in wanted)


@pytest.mark.parametrize("number", [0, errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV])
def test_of_two_names_each_can_be_replaced_alone(
    number: int, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    if number:
        refuse_links(monkeypatch, number)
    place.write("a", b"one")
    for _ in range(2):
        place.link("a", "b")
        assert (place.read("b"), place.names()) == (b"one", ["a", "b"])
    assert (place.folder / "a").samefile(place.folder / "b") == (number == 0)

    place.write("a", b"two")

    assert (place.read("a"), place.read("b")) == (b"two", b"one")


def test_a_second_name_that_fails_for_another_reason_fails(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write("a", b"one")
    refuse_links(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        place.link("a", "b")
    assert place.names() == ["a"]


@pytest.mark.parametrize("links", [True, False])
def test_where_it_is_not_to_be_replaced_the_first_stays(
    links: bool, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        refuse_links(monkeypatch, errno.EPERM)
    for content in ("one", "two"):
        with place.aside("a", replace=False) as path:
            path.write_text(content)
        assert (place.read("a"), place.names()) == (b"one", ["a"])


def test_deleting_is_no_matter_where_there_is_nothing(place: Place) -> None:
    place.write("a", b"")
    place.delete("a", "b")
    assert place.names() == []


def test_halves_of_killed_processes_go_and_nothing_else(place: Place) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    mark = "-0123abcd.part"
    backups = ["a.20261121", "a.20261121174852", f"a.20261121174852{mark}"]  # a user's own
    others = ["a", "a.bak", "a.1.bak", f"ab.1{mark}", f"b.1{mark}", *backups]
    of_running = f"a.{os.getppid()}{mark}"
    of_ended = [f"a.{ended.pid}{mark}", f"a.{ended.pid}{mark}-journal"]
    for name in (*others, of_running, *of_ended):
        (place.folder / name).parent.mkdir(exist_ok=True)
        (place.folder / name).touch()

    place.clear_halves("a", "c", spare_running=True)
    assert place.names() == sorted([*others, of_running])
    place.clear_halves("a", "c")
    assert place.names() == sorted(others)
    place.clear_halves()
    assert place.names() == sorted({*others} - {f"ab.1{mark}", f"b.1{mark}"})


def test_where_nothing_can_be_written_is_told_before_it_is_tried(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert why_not_writable(tmp_path / "file") is None
    assert why_not_writable(tmp_path / "a" / "b" / "file") is None
    assert why_not_writable(tmp_path) == "it is a folder"
    assert why_not_writable(tmp_path / "file" / "b") == f"{tmp_path / 'file'} is no folder"
    assert why_not_writable(Path("/proc/self/file")) == "/proc/self cannot be written"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
