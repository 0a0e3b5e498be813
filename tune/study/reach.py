"""Which studies a search may have whose files other machines see: none that two can run at once."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psutil

from tune.base.errors import ConfigError
from tune.base.passwords import masked, without_passwords
from tune.study.search import OWN_STUDY

_NETWORK: Final = {
    *("afs", "beegfs", "ceph", "cifs", "gfs2", "glusterfs", "gpfs", "lustre", "nfs", "nfs4"),
    *("ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "wekafs"),
}
_FUSE: Final = "fuse."
_LOCAL_FUSE: Final = {"fuse.fuse-overlayfs"}
"""What containers have for a disk; sshfs, s3fs, gcsfuse and the others are a network's."""


def dialect_of(url: str) -> str:
    """What a database's URL is for: `sqlite`, `postgresql`, `mysql`."""
    return url.partition(":")[0].partition("+")[0]


def file_of(url: str) -> Path | None:
    """The whole path of SQLite's file; None of a server's URL, and of a database in memory."""
    name = url.partition(":///")[2].partition("?")[0]
    if dialect_of(url) != "sqlite" or name in {"", ":memory:"}:
        return None
    return Path(name.removeprefix("file:")).resolve()


def check_reach(study: str | None, storage: str | None) -> None:
    """Check that no other machine's driver could run a search beside this one's.

    Without a storage a search has its files, and its lock, in the folder that it was started in,
    and no other finds it.

    Args:
        study: The URL of the study's storage; None for the file in this folder.
        storage: Where the files are that other machines see, if there are such.

    Raises:
        ConfigError: The study is one that several machines may write, and that has no lock which
            all of them respect; or the storage's address has a password.
    """
    if storage is not None and without_passwords(storage) != storage:
        raise ConfigError(
            f"tracking.storage={masked(storage)} has a password, which every machine's files would "
            "show: give it by what the file system looks for, such as AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY on each"
        )
    if storage is None or dialect_of(study or OWN_STUDY) == "postgresql":
        return
    if dialect_of(study or OWN_STUDY) != "sqlite":
        raise _refusal(study, "has no lock that would keep a second driver out of the search")
    file = file_of(study or OWN_STUDY)
    if file is None:
        return
    folder = storage.removeprefix("file://")
    if "://" not in folder and file.is_relative_to(Path(folder).resolve()):
        raise _refusal(study, f"lies in tracking.storage={storage}, where other machines write too")
    kind = _file_system(file)
    if kind in _NETWORK or (kind.startswith(_FUSE) and kind not in _LOCAL_FUSE):
        raise _refusal(study, f"lies on a network's file system ({kind}), where others write too")


def _refusal(study: str | None, why: str) -> ConfigError:
    named = "the study" if study in {None, OWN_STUDY} else f"tracking.study={masked(study)}"
    return ConfigError(
        f"{named} {why}; with a storage it has to be in PostgreSQL (TUNE_STUDY="
        "postgresql+psycopg://...), or in a file on this machine's own disk"
    )


def _file_system(path: Path) -> str:
    """The type of what a path is mounted from; empty where the system does not say."""
    mounts = [each for each in psutil.disk_partitions(all=True) if each.mountpoint]
    above = [each for each in mounts if path.is_relative_to(each.mountpoint)]
    # Of two at one point the latter hides the former.
    deepest = max(reversed(above), key=lambda each: len(each.mountpoint), default=None)
    return "" if deepest is None else str(deepest.fstype)
