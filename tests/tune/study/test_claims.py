"""Of several starts of one name one has the storage, and one that was killed does not block it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.helpers.buckets import S3, s3
from trainable.files.remote import place_at
from tune.study.claims import OWNER, Claims


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3() as server:
        yield server


@pytest.fixture(params=["folder", "bucket"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "one")
    return f"{request.getfixturevalue('server').address}/{uuid.uuid4().hex}"


def claims(address: str) -> Claims:
    return Claims(address, patience=5)


def owner(address: str) -> bytes:
    return place_at(address).read(OWNER)


def test_a_search_that_has_committed_has_it_for_good(address: str) -> None:
    assert claims(address).claim("a")
    assert claims(address).commit("a")
    assert not claims(address).claim("b")
    assert not claims(address).commit("b")
    assert claims(address).commit("a")
    assert owner(address) == b'{"search": "a"}'


def test_one_that_was_killed_before_it_committed_belongs_to_nobody(address: str) -> None:
    for identity in ("a", "b", "c"):
        assert claims(address).claim(identity)
    assert claims(address).commit("c")
    assert owner(address) == b'{"search": "c"}'
    assert not claims(address).commit("a")
    assert not claims(address).claim("d")


def test_one_that_goes_on_commits_after_a_kill_unless_another_was_quicker(address: str) -> None:
    assert claims(address).claim("a")
    assert claims(address).claim("b")
    assert claims(address).commit("b")  # of another process: b's own was killed, with its study
    assert not claims(address).commit("a")


def test_one_that_was_killed_while_it_committed_does_so_again(address: str) -> None:
    assert claims(address).claim("a")
    assert claims(address).claim("b")
    place_at(f"{address}/claims").create("b.json", b'{"search": "b"}')
    assert owner(address) == b'{"search": "a"}'
    assert not claims(address).claim("c")
    assert claims(address).commit("b")
    assert owner(address) == b'{"search": "b"}'


def test_one_from_before_there_were_claims_is_known_by_its_trials(address: str) -> None:
    place_at(address).write(OWNER, b'{"search": "old"}')
    place_at(f"{address}/trial-000").write("last.pt", b"")
    assert not claims(address).claim("b")
    assert claims(address).commit("old")


def test_what_is_withdrawn_is_as_before_unless_another_has_followed(address: str) -> None:
    assert claims(address).claim("a")
    claims(address).withdraw("a")
    assert not place_at(address).exists(OWNER)
    assert claims(address).claim("a")
    assert claims(address).claim("b")
    claims(address).withdraw("a")
    assert claims(address).commit("b")


@pytest.mark.parametrize("killed", [False, True])
def test_of_many_at_once_one_has_it(killed: bool, tmp_path: Path) -> None:
    for turn in range(20):
        address, gate = str(tmp_path / f"{turn}"), threading.Barrier(8)
        if killed:
            assert claims(address).claim("killed")

        def start(identity: str, address: str = address, gate: threading.Barrier = gate) -> bool:
            gate.wait()
            return claims(address).claim(identity)

        with ThreadPoolExecutor(8) as threads:
            won = list(threads.map(start, map(str, range(8))))
        # Later ones may follow the first, as if it had been killed: then it is the last's.
        with ThreadPoolExecutor(8) as threads:
            committed = list(threads.map(claims(address).commit, map(str, range(8))))
        assert any(won)
        assert sum(committed) == 1
        assert won[committed.index(True)]
