"""Images in a bucket of a real S3 server: what is asked of it, and what is said if it refuses."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image

from tests.helpers.buckets import S3, s3
from tests.helpers.commands import run_module
from trainable.config import DataConfig
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.forms.remote import folder_of
from trainable.runtime import COMMAND

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_cached_data")]

WriteClasses = Callable[..., Path]
COUNTS = {"ants": 12, "bees": 12}
EVERY = sum(COUNTS.values())


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3() as server:
        yield server


@pytest.fixture
def photos(tmp_path: Path, write_classes: WriteClasses) -> Path:
    return write_classes(tmp_path / "photos", COUNTS)


@pytest.fixture
def files(server: S3) -> Any:
    """The server as another machine sees it, which remembers nothing."""
    import s3fs  # noqa: PLC0415 - an extra, without which these tests are skipped

    return s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)


@pytest.fixture
def url(server: S3, files: Any, photos: Path, tmp_path: Path) -> str:
    """The address of a copy of the photographs."""
    address = f"{server.address}/{tmp_path.name}/photos"
    files.put(str(photos), address, recursive=True)
    return address


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Requests:
    """The requests that a server has logged."""

    def __init__(self, log: pytest.LogCaptureFixture) -> None:
        self._log = log

    def clear(self) -> None:
        self._log.clear()

    @property
    def listings(self) -> int:
        return sum("list-type=2" in line for line in self._lines)

    @property
    def objects(self) -> list[str]:
        """The names of the objects that were fetched."""
        return [
            found[1].rpartition("/")[2]
            for line in self._lines
            if (found := re.search(r"GET (/\S+) HTTP", line)) and "list-type=2" not in line
        ]

    @property
    def _lines(self) -> list[str]:
        return [each.getMessage() for each in self._log.records if each.name == "werkzeug"]


@pytest.fixture
def asked(server: S3, caplog: pytest.LogCaptureFixture) -> Requests:
    """What the server is asked for."""
    caplog.set_level(logging.INFO, "werkzeug")
    return Requests(caplog)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Dataset]:
    """Load a root as the first process of another command does."""
    number = iter(range(100))

    def load(root: object, source: str = "image_folder") -> Dataset:
        monkeypatch.setenv(COMMAND, f"command {next(number)}")
        load_dataset.cache_clear()
        config = {"source": source, "root": str(root), "image_size": 12}
        return load_dataset(DataConfig.model_validate(config))

    return load


Start = Callable[..., Dataset]


def test_a_folder_of_classes_is_the_same_data_as_on_the_disk(
    url: str, photos: Path, start: Start, asked: Requests
) -> None:
    there = start(url)
    assert len(asked.objects) == EVERY
    here = start(photos)
    assert there.fingerprint == here.fingerprint
    assert there.classes == tuple(COUNTS)
    for name in ("train", "val", "test"):
        one, two = there.split(name), here.split(name)
        assert np.array_equal(one.images[:], two.images[:])
        assert [file.relative_to(folder_of(url)) for file in one.files] == [
            file.relative_to(photos) for file in two.files
        ]


def test_a_table_comes_with_the_images_beside_it(
    url: str, photos: Path, files: Any, start: Start
) -> None:
    names = [path.relative_to(photos) for path in sorted(photos.rglob("*.png"))]
    lines = ["path,label", *(f"{name},{name.parent}" for name in names)]
    (photos / "labels.csv").write_text("\n".join(lines))
    files.put(str(photos / "labels.csv"), f"{url}/labels.csv")
    there, here = (start(f"{root}/labels.csv", "table") for root in (url, photos))
    assert there.fingerprint == here.fingerprint
    assert there.classes == tuple(COUNTS)


def test_a_second_start_lists_once_and_copies_nothing(
    url: str, start: Start, asked: Requests
) -> None:
    first = start(url)
    asked.clear()
    assert start(url).fingerprint == first.fingerprint
    assert (asked.listings, asked.objects) == (1, [])


def test_what_has_changed_is_copied_again_and_nothing_else(
    url: str, files: Any, start: Start, asked: Requests
) -> None:
    before = start(url)
    copy = folder_of(url) / "ants" / "003.png"
    pixels = np.full((12, 12, 3), 7, np.uint8)
    Image.fromarray(pixels).save(copy.parents[2] / "other.png")
    content = (copy.parents[2] / "other.png").read_bytes()
    files.pipe_file(f"{url}/ants/003.png", content)
    files.rm_file(f"{url}/bees/005.png")
    files.pipe_file(f"{url}/bees/new.png", copy.read_bytes())
    asked.clear()
    after = start(url)
    assert sorted(asked.objects) == ["003.png", "new.png"]
    assert copy.read_bytes() == content
    names = {file.name for split in ("train", "val", "test") for file in after.split(split).files}
    assert "new.png" in names
    assert not (folder_of(url) / "bees" / "005.png").exists()
    assert after.fingerprint != before.fingerprint


def test_an_object_of_the_same_size_that_has_changed_is_noticed(
    url: str, files: Any, start: Start, asked: Requests
) -> None:
    start(url)
    copy = folder_of(url) / "ants" / "003.png"
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    files.pipe_file(f"{url}/ants/003.png", bytes(content))
    asked.clear()
    start(url)
    assert asked.objects == ["003.png"]
    assert copy.read_bytes() == bytes(content)


def refused(root: str, folder: Path) -> str:
    """The line with which a search ends before there is any of it."""
    words = ("--config=image_folder", f"data.root={root}", "model.weights=random")
    done = run_module("tune.search", *words, cwd=folder)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "trials" not in done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.nightly
def test_a_bucket_that_is_not_there_is_said_before_any_work(server: S3, tmp_path: Path) -> None:
    told = refused("s3://no-such-bucket-of-mine/photos", tmp_path)
    assert "data.root=s3://no-such-bucket-of-mine/photos" in told
    assert "spelling" in told


def let_in(host: str, requests: str) -> None:
    """Have the server look at nobody's credentials for so many requests."""
    kind = {"Content-Type": "text/plain"}
    urlopen(Request(f"{host}/moto-api/reset-auth", requests.encode(), kind)).close()


@pytest.mark.nightly
def test_wrong_credentials_are_said_before_any_work(
    server: S3, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs  # noqa: PLC0415

    host = server.environment["AWS_ENDPOINT_URL_S3"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    s3fs.S3FileSystem.clear_instance_cache()
    let_in(host, "0")  # from now on no request without credentials of its users
    try:
        told = refused(url, tmp_path)
    finally:
        let_in(host, "inf")
        s3fs.S3FileSystem.clear_instance_cache()
    assert f"data.root={url}" in told
    assert "credentials" in told
    assert "a secret" not in told


@pytest.mark.nightly
def test_a_server_that_is_away_is_said_before_any_work(
    server: S3, url: str, tmp_path: Path
) -> None:
    server.stop()
    try:
        told = refused(url, tmp_path)
    finally:
        server.start()
    assert f"data.root={url}" in told
    assert "network" in told
