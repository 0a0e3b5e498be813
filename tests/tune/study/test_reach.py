"""A study that two machines' drivers could run at once is refused, wherever it is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.helpers.commands import DIGITS
from tests.helpers.studies import search_of
from tune.base.errors import ConfigError
from tune.config.loading import load_config
from tune.engine.launch import new_search
from tune.engine.resumption import resumed_or_new_search, resumed_search
from tune.strategy.portfolio import open_search
from tune.study.folder import SearchFolder
from tune.study.lookup import folder_of
from tune.study.reach import check_reach, dialect_of, file_of
from tune.study.shared import STORAGE, STUDY, SharedFolder

MYSQL = "mysql+pymysql://tune:secret@db.example.org/study"
NO_LOCK = r"mysql.*tune:\*\*\*@.* has no lock .* PostgreSQL"
Mount = Callable[[str, str], Path]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (STORAGE, STUDY, "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def mount(here: Path, monkeypatch: pytest.MonkeyPatch) -> Mount:
    """Has the system say that folders here are mounted, each from a file system of a type."""
    table = here / "proc" / "self" / "mounts"
    table.parent.mkdir(parents=True)
    table.write_text("/dev/vda / ext4 rw 0 0\n")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(here / "proc"), raising=False)

    def add(name: str, kind: str) -> Path:
        folder = here / name
        folder.mkdir(exist_ok=True)
        escaped = str(folder).replace(" ", "\\040")
        with table.open("a") as file:
            file.write(f"server:/export {escaped} {kind} rw 0 0\n")
        return folder

    return add


@pytest.mark.parametrize("how", ["key", "variable"])
def test_a_password_in_the_address_of_the_storage_is_refused_before_anything_is_written(
    how: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "sftp://tune:secret@files.example.org/searches"
    words = [f"tracking.storage={address}"] if how == "key" else []
    if how == "variable":
        monkeypatch.setenv(STORAGE, address)
    told = r"tracking\.storage=sftp://tune:\*\*\*@files\S+ has a password.*: give it by"
    with pytest.raises(ConfigError, match=told):
        resumed_or_new_search(DIGITS, words, "one", {})
    with pytest.raises(ConfigError, match=told):
        SharedFolder("one", address, "sqlite:///study.db").take_turn(0.0, None)
    assert list(here.iterdir()) == []


def test_a_user_in_the_address_of_the_storage_is_none() -> None:
    check_reach("postgresql+psycopg://tune@host/study", "sftp://tune@files.example.org/searches")


def test_what_a_url_is_of() -> None:
    assert dialect_of(MYSQL) == "mysql"
    assert dialect_of("sqlite:///a.db") == "sqlite"
    assert file_of("sqlite:////all/a.db?timeout=60") == Path("/all/a.db")
    assert file_of("sqlite:///a.db") == Path("a.db").resolve()
    assert file_of("sqlite://") is None
    assert file_of("sqlite:///:memory:") is None
    assert file_of("postgresql://host/x") is None


def test_without_a_storage_and_in_postgresql_any_is_taken(here: Path) -> None:
    check_reach(MYSQL, None)
    check_reach(None, "s3://bucket")
    check_reach("sqlite:///own.db", "s3://bucket")
    check_reach("postgresql+psycopg://tune@db/study", "s3://bucket")


def test_a_server_without_a_lock_is_refused_by_key_variable_and_resume(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [f"tracking.study={MYSQL}", "tracking.storage=memory://reach"]
    with pytest.raises(ConfigError, match=NO_LOCK):
        new_search(DIGITS, both, "one")
    with pytest.raises(ConfigError, match=NO_LOCK):
        resumed_or_new_search(DIGITS, both, "one", {})
    monkeypatch.setenv(STUDY, MYSQL)
    monkeypatch.setenv(STORAGE, "memory://reach")
    with pytest.raises(ConfigError, match=NO_LOCK):
        new_search(DIGITS, [], "one")
    assert list(here.iterdir()) == []


def test_one_that_was_started_with_such_a_study_does_not_go_on(here: Path) -> None:
    with pytest.raises(ConfigError, match=NO_LOCK):
        SharedFolder("one", "memory://reach", MYSQL).take_turn(0.0, None)
    home = SearchFolder("one", shared=SharedFolder("one", "memory://reach", MYSQL))
    for _ in range(2):  # the first has left nothing locked
        with pytest.raises(ConfigError, match=NO_LOCK):
            home.lock()


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "lustre", "fuse.sshfs", "fuse.s3fs"])
def test_a_file_on_a_networks_file_system_is_refused(kind: str, mount: Mount) -> None:
    folder = mount("of all", kind)
    with pytest.raises(ConfigError, match=rf"a network's file system \({kind}\).*on this machine"):
        check_reach(f"sqlite:///{folder}/study.db", "s3://bucket")
    check_reach(f"sqlite:///{folder}/study.db", None)


def test_the_deepest_and_latest_mount_counts(mount: Mount) -> None:
    mount("all", "nfs")
    inner = mount("all/own", "ext4")
    check_reach(f"sqlite:///{inner}/study.db", "s3://bucket")
    mount("all/own", "nfs")
    with pytest.raises(ConfigError, match=r"\(nfs\)"):
        check_reach(f"sqlite:///{inner}/study.db", "s3://bucket")


def test_a_folder_of_all_machines_is_none_to_start_with_the_default_study(
    mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mount("all", "nfs"))
    with pytest.raises(ConfigError, match=r"the study lies on a network's file system \(nfs\)"):
        new_search(DIGITS, ["tracking.storage=s3://bucket"], "one")


def test_a_file_in_the_storage_itself_is_refused(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"lies in tracking\.storage=.*, where other machines"):
        check_reach("sqlite:///all/study.db", str(here / "all"))
    with pytest.raises(ConfigError, match=r"lies in tracking\.storage="):
        check_reach("sqlite:///all/study.db", f"file://{here}/all")


def test_two_folders_of_one_machine_do_not_run_it_at_once(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = f"sqlite:///{here / 'server.db'}"
    search = search_of(load_config(DIGITS, ["tracking.storage=memory://two"]), study)
    home = folder_of(search.name, search.config.tracking)
    home.begin(search)
    open_search(search)
    (here / "second").mkdir()
    monkeypatch.chdir(here / "second")
    monkeypatch.setenv(STUDY, study)
    with pytest.raises(ConfigError, match="another process is running it"):
        resumed_search(search.name, {})
    home.release()
    resumed_search(search.name, {}).home.release()
