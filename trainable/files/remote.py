"""Places on other machines: buckets, by whatever of fsspec's file systems an address names."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Final, TypeAlias, TypeVar

import fsspec
from tenacity import RetryError, Retrying, retry_if_exception, stop_after_delay, wait_exponential

from trainable.base.errors import first_line
from trainable.files.places import Place

PATIENCE: Final = 180.0
"""Seconds for which a storage that is away is waited for."""

_LONGEST_PAUSE: Final = 10.0
_OF_S3: Final[dict[str, Any]] = {
    # What does not answer is asked again by this module, which knows for how long.
    "config_kwargs": {
        "connect_timeout": 5,
        "read_timeout": 30,
        "retries": {"max_attempts": 1, "mode": "standard"},
    },
}
_SETTINGS: Final[dict[str, dict[str, Any]]] = {"s3": _OF_S3, "s3a": _OF_S3}
_PERMANENT: Final = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    ImportError,
    ValueError,
    TypeError,
    NotImplementedError,
)
"""What another try does not change."""
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
"""Nor this: a disk of this machine's that is full."""

_NO_CREDENTIALS: Final = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"}
"""Nor these of S3's client, which is made without credentials once and has none for good."""

_TAKEN: Final = {"PreconditionFailed", "412"}

_Result = TypeVar("_Result")


class StorageAwayError(OSError):
    """A storage has not answered for too long, or refuses to: what it has cannot be known."""


def is_address(where: object) -> bool:
    """Whether something is an address, such as `s3://bucket/prefix`, and not a path."""
    return "://" in str(where)


def below(where: str | Path, *names: str) -> str | Path:
    """What lies below a folder or an address."""
    if isinstance(where, Path):
        return where.joinpath(*names)
    return "/".join((where.rstrip("/"), *names))


class RemotePlace:
    """A folder in a bucket, with what :class:`~trainable.files.places.Place` has.

    A file is uploaded as one object when it is whole, and an object store replaces an object at
    once: whoever reads has the one before or the one after, and a process that is killed leaves
    the one before. Nothing is written aside, so there are no halves. What an upload in parts leaves
    when it is cut off can be seen by no reader; the bucket's rule for incomplete uploads clears it.

    Every request is sent again, for as long as the storage may come back: all of them come to the
    same when they are carried out twice.

    Args:
        address: Such as `s3://bucket/prefix`. Endpoint and credentials are the environment's.
        patience: Seconds for which the storage is waited for.
    """

    def __init__(self, address: str, patience: float = PATIENCE) -> None:
        self.folder = address.rstrip("/")
        self._patience = patience

    @cached_property
    def _files(self) -> Any:
        protocol = self.folder.partition("://")[0]
        settings = _SETTINGS.get(protocol, {})
        # Nothing is listed from memory: other machines write here too.
        return fsspec.filesystem(protocol, use_listings_cache=False, **settings)

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""

        def ask() -> bool:
            try:
                return bool(self._files.info(self._path(name))["type"] == "file")
            except FileNotFoundError:
                return False

        return self._patiently(ask)

    def names(self, pattern: str = "*") -> list[str]:
        """The names of the files here, in order, such as those that fit `*.pt`."""
        return [
            name for name, kind, _ in self._listed() if kind == "file" and fnmatch(name, pattern)
        ]

    def folders(self, pattern: str = "*") -> list[str]:
        """The names of the folders here, in order."""
        return [n for n, kind, _ in self._listed() if kind == "directory" and fnmatch(n, pattern)]

    def sizes(self, pattern: str = "*") -> dict[str, int]:
        """The bytes of each file here, by its name."""
        return {
            n: size for n, kind, size in self._listed() if kind == "file" and fnmatch(n, pattern)
        }

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: There is none.
            OSError: It cannot be read.
        """
        return self._patiently(lambda: bytes(self._files.cat_file(self._path(name))))

    def write(
        self, name: str, content: bytes, *, private: bool = False, durable: bool = False
    ) -> None:
        """Write a file: what is in a bucket is durable, and as private as the bucket is.

        Raises:
            OSError: It cannot be written; one of this name is as it was.
        """
        # Some of fsspec's file systems keep what they are given.
        self._patiently(lambda: self._files.pipe_file(self._path(name), bytes(content)))

    def create(self, name: str, content: bytes) -> bool:
        """Write a file unless there is one, and say whether it is this one: of several, one's is.

        Where it has this very content already, it is: the answer to a request may be lost. Some
        servers know no such request, and some ignore its condition and replace what there is. So it
        is looked first whether there is one, and afterwards whose it is. On such a server that
        leaves a gap, in which two may both take theirs for the one.

        Raises:
            OSError: It cannot be written.
        """

        def ask() -> bool:
            with suppress(FileNotFoundError):
                return bool(self._files.cat_file(path) == content)
            try:
                self._files.pipe_file(path, content, mode="create")
            except OSError as error:
                if error.errno == errno.ENOSYS:
                    self._files.pipe_file(path, content)
                elif not _says_taken(error):
                    raise
            return bool(self._files.cat_file(path) == content)

        path = self._path(name)
        return self._patiently(ask)

    @contextmanager
    def writing(
        self, name: str, *, private: bool = False, durable: bool = False
    ) -> Iterator[IO[bytes]]:
        """A file to write to, which is uploaded when the block ends without an error.

        Not fsspec's own: that uploads what it has where the block ends with one.

        Raises:
            OSError: It cannot be written; one of this name is as it was.
        """
        file = io.BytesIO()
        yield file
        self.write(name, file.getvalue())

    def link(self, name: str, second: str) -> None:
        """Copy a file within the storage: a bucket has no second names.

        Raises:
            OSError: It cannot be done; a file of the second name is as it was.
        """
        self._patiently(lambda: self._files.cp_file(self._path(name), self._path(second)))

    def delete(self, *names: str) -> None:
        """Delete files, if they are there."""

        def remove(name: str) -> None:
            with suppress(FileNotFoundError):
                self._files.rm_file(self._path(name))

        for name in names:
            self._patiently(lambda name=name: remove(name))  # type: ignore[misc]

    def clear_halves(self, *names: str, spare_running: bool = False) -> None:
        """Nothing: there are no halves."""

    def _path(self, name: str = "") -> str:
        return f"{self.folder.partition('://')[2]}/{name}".rstrip("/")

    def _listed(self) -> list[tuple[str, str, int]]:
        """Name, type and bytes of what is here, in order."""

        def ask() -> list[dict[str, Any]]:
            try:
                return list(self._files.ls(self._path(), detail=True))
            except FileNotFoundError:
                return []

        found = [(each["name"].rstrip("/"), each) for each in self._patiently(ask)]
        own = self._path().strip("/")  # an empty object of the folder's own name
        return sorted(
            (name.rpartition("/")[2], each["type"], int(each.get("size") or 0))
            for name, each in found
            if name.strip("/") != own
        )

    def _patiently(self, action: Callable[[], _Result]) -> _Result:
        """Do something that comes to the same if it is done twice.

        Raises:
            StorageAwayError: The storage has been away for too long, or refuses.
            OSError: What is asked for is not there, or not of that kind.
        """
        try:
            return asked_again(action, self._patience)
        except RetryError as error:
            last = error.last_attempt.exception()
            assert last is not None
            raise StorageAwayError(
                f"{self.folder} is out of reach: {type(last).__name__}: {first_line(last)}"
            ) from last
        except PermissionError as error:
            raise StorageAwayError(f"{self.folder} refuses: {first_line(error)}") from error
        except Exception as error:
            if not _lacks_credentials(error):
                raise
            raise StorageAwayError(f"{self.folder} is out of reach: {first_line(error)}") from error


def asked_again(action: Callable[[], _Result], patience: float) -> _Result:
    """Ask a server, again and again while it fails for a reason that may pass.

    Args:
        action: The request, which comes to the same if it is sent twice.
        patience: Seconds for which the server is waited for.

    Raises:
        RetryError: It has been away for longer; the last attempt has the reason.
        Exception: It refuses, or has not what is asked for.
    """
    attempts = Retrying(
        retry=retry_if_exception(_may_pass),
        wait=wait_exponential(multiplier=0.2, max=_LONGEST_PAUSE),
        stop=stop_after_delay(patience),
    )
    return attempts(action)


def _may_pass(error: BaseException) -> bool:
    # A client's library has errors of its own, and those of a connection are of many kinds.
    if getattr(error, "errno", None) in _FULL or _lacks_credentials(error):
        return False
    return isinstance(error, Exception) and not isinstance(error, _PERMANENT)


def _lacks_credentials(error: BaseException) -> bool:
    # By name: botocore is there only where S3 is used.
    return type(error).__name__ in _NO_CREDENTIALS


def _says_taken(error: OSError) -> bool:
    """Whether a storage says that there is such a file; not every S3 server says so in full."""
    answer = getattr(error.__cause__, "response", {})
    code = str(answer.get("Error", {}).get("Code"))
    return isinstance(error, FileExistsError) or code in _TAKEN


AnyPlace: TypeAlias = Place | RemotePlace


def place_at(where: str | Path, patience: float = PATIENCE) -> AnyPlace:
    """The place of a path or of an address; `file://` is a path."""
    if isinstance(where, str) and where.startswith("file://"):
        where = where.removeprefix("file://")
    if isinstance(where, str) and is_address(where):
        return RemotePlace(where, patience)
    return Place(Path(where))
