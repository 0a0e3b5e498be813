"""A place in a bucket has what one in a folder has, and waits for a storage that is away."""

from __future__ import annotations

import errno
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from s3fs import S3FileSystem
from werkzeug.serving import make_server
from werkzeug.test import Client

from tests.helpers.buckets import S3, s3
from trainable.checkpoints import BEST, LAST, CheckpointError, Checkpoints
from trainable.config import TrialConfig
from trainable.files.places import Place
from trainable.files.remote import AnyPlace, RemotePlace, StorageAwayError, below, place_at


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3() as server:
        yield server


@pytest.fixture(params=["path", "file", "memory", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of each kind, in which there is nothing yet."""
    name = uuid.uuid4().hex
    if request.param == "s3":
        return f"{request.getfixturevalue('server').address}/{name}"
    return {"path": str, "file": lambda path: f"file://{path}"}.get(
        request.param, lambda _: f"memory://{name}"
    )(tmp_path / name)


@pytest.fixture
def place(address: str) -> AnyPlace:
    return place_at(address, patience=5)


def test_paths_and_file_addresses_are_folders_as_ever(tmp_path: Path) -> None:
    for where in (tmp_path, str(tmp_path), f"file://{tmp_path}"):
        found = place_at(where)
        assert isinstance(found, Place)
        assert found.folder == tmp_path
    assert isinstance(place_at("s3://bucket/prefix"), RemotePlace)


def test_what_lies_below_is_named_as_its_kind_is(tmp_path: Path) -> None:
    assert below(tmp_path, "a", "b") == tmp_path / "a" / "b"
    assert below("s3://bucket/prefix/", "a", "b") == "s3://bucket/prefix/a/b"


def test_a_file_is_read_as_it_was_written_and_replaced(place: AnyPlace) -> None:
    assert (place.exists("a.pt"), place.names(), place.folders()) == (False, [], [])
    for content in (b"one", b"two"):
        place.write("a.pt", content)
        assert place.read("a.pt") == content
    place.write("b.json", b"{}")
    assert place.exists("a.pt")
    assert (place.names(), place.names("*.pt")) == (["a.pt", "b.json"], ["a.pt"])
    place.delete("a.pt", "not there")
    assert place.names() == ["b.json"]
    with pytest.raises(FileNotFoundError):
        place.read("a.pt")


def test_of_several_that_make_a_file_one_does(place: AnyPlace) -> None:
    assert place.create("a", b"one")
    assert not place.create("a", b"two")
    assert place.create("a", b"one")  # the answer to whose request was lost
    assert (place.read("a"), place.names()) == (b"one", ["a"])


def test_where_a_file_system_has_no_hard_links_one_does_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    place = Place(tmp_path)
    monkeypatch.setattr(place._files, "link", link)
    assert place.create("a", b"one")
    assert not place.create("a", b"two")
    assert place.names() == ["a"]


def test_a_server_that_knows_no_conditions_is_asked_first(
    server: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = RemotePlace(f"{server.address}/unconditional")
    pipe = type(place._files).pipe_file

    def unknown(files: object, path: str, content: bytes, mode: str = "overwrite") -> object:
        if mode == "create":
            raise OSError(errno.ENOSYS, "A header you provided implies functionality ...")
        return pipe(files, path, content)

    monkeypatch.setattr(type(place._files), "pipe_file", unknown)
    assert place.create("a", b"one")
    assert not place.create("a", b"two")
    assert place.create("a", b"one")


class Ignoring:
    """The S3 server, as one that knows nothing of conditions: it replaces what there is.

    Attributes:
        puts: What else is written right after a request that had one, by a process beside this one.
    """

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415

        self._moto, self.puts = DomainDispatcherApplication(create_backend_app), list[bytes]()

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        had_condition = environ.pop("HTTP_IF_NONE_MATCH", None) is not None
        answer = self._moto(environ, start)
        while had_condition and self.puts:
            put = Client(self._moto).put(
                environ["PATH_INFO"],
                base_url=f"http://{environ['HTTP_HOST']}",
                headers={"Authorization": environ["HTTP_AUTHORIZATION"]},
                data=self.puts.pop(),
            )
            assert put.status_code == 200
        return answer


@pytest.fixture
def ignoring(server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ignoring]:
    served = Ignoring()
    running = make_server("127.0.0.1", 0, served, threaded=True)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{running.server_port}")
    S3FileSystem.clear_instance_cache()
    yield served
    S3FileSystem.clear_instance_cache()
    running.shutdown()
    running.server_close()


def test_on_a_server_that_ignores_conditions_nothing_is_replaced(
    server: S3, ignoring: Ignoring
) -> None:
    place = RemotePlace(f"{server.address}/ignoring", patience=5)
    assert place.create("a", b"one")
    assert not place.create("a", b"two")
    assert place.read("a") == b"one"
    assert place.create("a", b"one")
    ignoring.puts.append(b"quicker")
    assert not place.create("b", b"one")
    assert place.read("b") == b"quicker"


def test_folders_are_no_files(address: str, place: AnyPlace) -> None:
    place_at(f"{address}/trial-000").write("last.pt", b"")
    place_at(f"{address}/confirm-000").write("last.pt", b"")
    place.write("owner.json", b"")
    assert place.names("*.json") == ["owner.json"]
    assert place.folders("trial-*") == ["trial-000"]
    assert not place.exists("trial-000")


def test_another_machine_sees_what_was_written_since_it_looked(address: str) -> None:
    one, other = place_at(address), place_at(address)
    assert (other.names(), other.exists("a")) == ([], False)
    one.write("a", b"one")
    assert (other.names(), other.exists("a")) == (["a"], True)


def test_an_error_while_writing_leaves_the_file_before(place: AnyPlace) -> None:
    place.write("a", b"one")
    with pytest.raises(TypeError), place.writing("a") as file:
        file.writelines([b"tw", "not bytes"])  # type: ignore[list-item]
    assert (place.read("a"), place.names()) == (b"one", ["a"])


def test_of_two_names_one_is_replaced_alone(place: AnyPlace) -> None:
    place.write("best", b"one")
    place.link("best", "last")
    place.write("last", b"two")
    assert (place.read("best"), place.read("last")) == (b"one", b"two")


def state(epoch: int) -> dict[str, object]:
    return {"epoch": epoch, "weight": torch.full((100,), float(epoch))}


def test_checkpoints_are_as_good_anywhere(address: str) -> None:
    config = TrialConfig()
    checkpoints = Checkpoints(address, config)
    assert checkpoints.last() is None
    with pytest.raises(CheckpointError, match=r"best\.pt"):
        checkpoints.best()
    for epoch, best in ((1, True), (2, True), (3, False)):
        checkpoints.save(state(epoch), best=best)
    last = Checkpoints(address, config).last()
    assert last is not None
    assert torch.equal(last["weight"], torch.full((100,), 3.0))
    assert Checkpoints(address, config).best()["epoch"] == 2
    assert place_at(address).names() == [BEST, LAST]
    other = TrialConfig.model_validate({"train": {"epochs": 7}})
    with pytest.warns(UserWarning, match="of a trial with another config"):
        assert Checkpoints(address, other).last() is None


def test_a_broken_checkpoint_is_said_to_be(address: str, place: AnyPlace) -> None:
    place.write(LAST, b"not a checkpoint")
    with pytest.warns(UserWarning, match=r"last\.pt cannot be read"):
        assert Checkpoints(address).last() is None


def meanwhile(action: Callable[[], None], seconds: float) -> threading.Timer:
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


@pytest.mark.slow
def test_a_server_that_is_away_is_waited_for(server: S3) -> None:
    place = place_at(f"{server.address}/away")
    place.write("a", b"one")
    server.stop()
    timer = meanwhile(server.start, 1.5)
    start = time.monotonic()
    try:
        place.write("b", b"two")
        assert time.monotonic() - start > 1
        assert (place.read("a"), place.names()) == (b"one", ["a", "b"])
    finally:
        timer.join()


@pytest.mark.slow
def test_one_that_stays_away_is_no_reason_to_start_a_trial_again(server: S3) -> None:
    address = f"{server.address}/gone"
    Checkpoints(address).save(state(1), best=True)
    server.stop()
    try:
        checkpoints = Checkpoints(address)
        checkpoints._place = place_at(address, patience=0.3)
        for read in (checkpoints.last, checkpoints.best):
            with pytest.raises(StorageAwayError, match=r"s3://.* is out of reach"):
                read()
    finally:
        server.start()


class Refusing(BaseHTTPRequestHandler):
    """An S3 server that has taken a key's rights away, or whose clock has gone astray."""

    def answer(self) -> None:
        self.send_response(403)
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def refusing(server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Has every request be answered by 403 from then on."""
    refusal = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=refusal.serve_forever, daemon=True).start()

    def refuse() -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{refusal.server_port}")
        S3FileSystem.clear_instance_cache()

    yield refuse
    S3FileSystem.clear_instance_cache()
    refusal.shutdown()
    refusal.server_close()


def test_a_refusal_is_no_reason_to_start_a_trial_again(
    server: S3, refusing: Callable[[], None]
) -> None:
    address = f"{server.address}/refused"
    Checkpoints(address).save(state(1), best=True)
    refusing()
    checkpoints, start = Checkpoints(address), time.monotonic()
    for act in (
        checkpoints.last,
        checkpoints.best,
        lambda: checkpoints.save(state(2), best=False),
        lambda: place_at(address).exists(LAST),
        lambda: place_at(address).names(),
    ):
        with pytest.raises(StorageAwayError, match=r"s3://.* refuses: .*"):
            act()
    assert time.monotonic() - start < 10


def test_a_folder_that_cannot_be_read_is_no_reason_to_start_a_trial_again(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state(1), best=True)
    (tmp_path / LAST).unlink()
    (tmp_path / LAST).symlink_to(LAST)  # which no user can read, root neither
    with pytest.raises(StorageAwayError, match=r"last\.pt cannot be read"):
        checkpoints.last()


def test_missing_credentials_are_no_outage_that_passes(
    server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    S3FileSystem.clear_instance_cache()
    start = time.monotonic()
    try:
        with pytest.raises(StorageAwayError, match=r"s3://.* is out of reach: .*credentials"):
            place_at(f"{server.address}/without").read("a")
    finally:
        S3FileSystem.clear_instance_cache()
    assert time.monotonic() - start < 10


def test_what_cannot_pass_is_not_tried_again(server: S3) -> None:
    start = time.monotonic()
    with pytest.raises(OSError, match=r"bucket|exist") as caught:
        place_at("s3://no-such-bucket/prefix").write("a", b"one")
    assert not isinstance(caught.value, StorageAwayError)
    assert time.monotonic() - start < 5
