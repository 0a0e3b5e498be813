"""A search whose files other machines see goes on from any of them, by name and addresses alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path

import optuna
import pytest

from tests.helpers.buckets import s3
from tests.helpers.commands import DIGITS
from tests.helpers.studies import search_of
from trainable.files.remote import place_at
from tune.base.errors import ConfigError
from tune.config.loading import load_config
from tune.config.sections import TrackingConfig
from tune.engine.watchers import DropUnneeded
from tune.strategy.choice import Choice
from tune.strategy.portfolio import open_search
from tune.study import opening
from tune.study.folder import SearchFolder
from tune.study.lookup import absolute, find_folder, folder_of, known
from tune.study.opening import check_name, conclude_study
from tune.study.search import Search
from tune.study.shared import STORAGE, STUDY, SharedFolder
from tune.study.trial import TrialLog, TrialState


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "all") if request.param == "folder" else f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def study(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'server.db'}"


@pytest.fixture
def search(study: str, storage: str) -> Search:
    found = search_of(load_config(DIGITS, [f"tracking.storage={storage}"]), study)
    tracking = found.config.tracking.model_copy(update={"uri": "http://user:secret@mlflow:5000"})
    return found.model_copy(
        update={"config": found.config.model_copy(update={"tracking": tracking})}
    )


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The working folders of two machines; this process is on the first."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    monkeypatch.chdir(folders[0])
    for name in (STORAGE, STUDY, "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return folders


def begun(search: Search) -> SearchFolder:
    home = folder_of(search.name, search.config.tracking)
    home.begin(search)
    open_search(search)
    return home


def test_only_what_this_machine_needs_stays_on_it(
    search: Search, storage: str, machines: list[Path]
) -> None:
    home = begun(search)
    home.checkpoints(3).write("best.pt", b"12345")
    home.note_elapsed(7.5)
    assert home.trial(3) == place_at(f"{storage}/searches/one/trial-003").folder or (
        str(home.trial(3)) == f"{storage}/searches/one/trial-003"
    )
    shared = place_at(f"{storage}/searches/one")
    assert shared.names("*.json") == ["elapsed.json", "owner.json"]
    assert json.loads(shared.read("owner.json")) == {"search": search.identity}
    assert sorted(path.name for path in home.folder.iterdir()) == ["lock", "search.json"]
    own = sum(path.stat().st_size for path in home.folder.iterdir())
    assert home.size == own + 5
    assert home.has_trials


def test_another_machine_goes_on_with_name_and_addresses(
    search: Search, study: str, machines: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = begun(search)
    home.note_elapsed(7.5)
    home.release()
    monkeypatch.chdir(machines[1])
    monkeypatch.setenv(STUDY, study)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:other@mlflow:5000")
    there = find_folder("one")
    found = there.load()
    assert found.identity == search.identity
    assert found.config.tracking.storage == search.config.tracking.storage
    assert found.config.tracking.study == study
    assert found.config.tracking.uri == "http://user:other@mlflow:5000"
    assert there.elapsed == 7.5
    assert there.shared is not None
    there.shared.commit(found)
    there.lock()


def test_no_password_reaches_the_storage_or_the_study(
    search: Search, storage: str, study: str, machines: list[Path]
) -> None:
    home = begun(search)
    shared = place_at(f"{storage}/searches/one")
    written = [shared.read(name) for name in shared.names("*.json")]
    assert b"secret" not in b"".join(
        [*written, Path(study.removeprefix("sqlite:///")).read_bytes()]
    )
    assert "secret" in (home.folder / "search.json").read_text()


def test_the_study_knows_better_than_the_file_of_a_machine(
    search: Search, machines: list[Path]
) -> None:
    begun(search)
    stale = SearchFolder("one").cached()
    assert stale is not None
    ledger = open_search(search)
    conclude_study(ledger, search.model_copy(update={"concluded": True}))
    assert not stale.concluded
    assert find_folder("one").load().concluded
    assert find_folder("one").load().config.tracking.uri == search.config.tracking.uri


def test_a_search_of_this_machine_alone_stays_one(
    search: Search, machines: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = search.config.tracking.model_copy(update={"storage": None})
    config = search.config.model_copy(update={"tracking": tracking})
    begun(search.model_copy(update={"config": config}))
    monkeypatch.setenv(STORAGE, "memory://elsewhere")
    assert find_folder("one", "memory://another").shared is None


def test_what_was_never_started_is_not_known(
    study: str, machines: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert known(find_folder("one")) is None
    monkeypatch.setenv(STUDY, study)
    monkeypatch.setenv(STORAGE, "memory://empty")
    there = find_folder("one")
    assert there.shared == SharedFolder("one", "memory://empty", study)
    assert known(there) is None
    assert not there.folder.exists()


def test_a_storage_with_trials_of_another_search_is_refused(
    search: Search, storage: str, machines: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    place_at(f"{storage}/searches/one").write("owner.json", b'{"search": "other"}')
    home = folder_of("one", search.config.tracking)
    home.begin(search)  # the other was killed before it had a trial
    home.checkpoints(0).write("last.pt", b"")
    home.release()
    monkeypatch.chdir(machines[1])
    with pytest.raises(ConfigError, match="has the files of a search of this name; choose another"):
        folder_of("one", search.config.tracking).begin(search)
    shared = find_folder("one", storage).shared
    assert shared is not None
    with pytest.raises(ConfigError, match="the files of another search of this name"):
        shared.commit(search.model_copy(update={"identity": "new"}))


@pytest.mark.parametrize("killed_at", ["write_definition", "set_user_attr"])
def test_one_that_was_killed_before_its_study_said_whose_it_is_is_started_elsewhere(
    killed_at: str,
    search: Search,
    study: str,
    storage: str,
    machines: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    where = opening if killed_at == "write_definition" else optuna.Study
    with monkeypatch.context() as patch:
        patch.setattr(where, killed_at, kill)
        with pytest.raises(KeyboardInterrupt):
            begun(search)
    folder_of("one", search.config.tracking).release()
    monkeypatch.chdir(machines[1])
    again = search.model_copy(update={"identity": "of the second machine"})
    found = known(find_folder("one", storage, study)) or again
    check_name(found)
    assert open_search(found).study.user_attrs["search"] == found.identity


def test_it_is_found_by_the_addresses_that_are_given(
    search: Search, storage: str, study: str, machines: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(search).release()
    monkeypatch.chdir(machines[1])
    assert known(find_folder("one", storage)) is None
    found = known(find_folder("one", storage, study))
    assert found is not None
    assert found.identity == search.identity


def test_a_start_that_another_was_quicker_than_is_refused_and_leaves_what_that_has(
    search: Search, storage: str, machines: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = folder_of("one", search.config.tracking)
    first.begin(search)
    monkeypatch.chdir(machines[1])
    own = TrackingConfig(storage=storage)  # a study of its own
    other = search.model_copy(
        update={
            "identity": "other",
            "config": search.config.model_copy(update={"tracking": own}),
        }
    )
    second = folder_of("one", own)
    second.begin(other)  # as if the first had been killed
    assert first.shared is not None
    assert second.shared is not None
    second.shared.commit(other)
    with pytest.raises(ConfigError, match="has the files of another search of this name"):
        first.shared.commit(search)
    first.discard()
    assert json.loads(place_at(f"{storage}/searches/one").read("owner.json"))["search"] == "other"
    second.shared.commit(other)  # as it does whenever it goes on


def test_time_that_cannot_be_read_is_not_taken_for_none(
    search: Search, storage: str, machines: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = begun(search)
    home.note_elapsed(7.5)

    def away(*_: object) -> bytes:
        raise PermissionError("clock skewed")

    assert home.shared is not None
    monkeypatch.setattr(type(home.shared.place), "read", away)
    with pytest.raises(ConfigError, match="cannot be used: clock skewed"):
        _ = home.elapsed


@pytest.mark.slow
def test_a_storage_that_is_away_is_not_waited_for_long_by_who_looks_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune.study.shared._HURRY", 1.0)
    with s3() as server:
        shared = SharedFolder("one", server.address, "sqlite://")
        server.stop()
        start = time.monotonic()
        try:
            with pytest.raises(ConfigError, match=r"tracking\.storage=s3://.* is out of reach"):
                _ = SearchFolder("one", tmp_path, shared).elapsed
        finally:
            server.start()
    assert time.monotonic() - start < 15


def test_a_storage_that_is_not_there_is_said_in_one_line(search: Search, tmp_path: Path) -> None:
    shared = SharedFolder("one", "nosuch://bucket", "sqlite://")
    home = SearchFolder("one", tmp_path, shared)
    for action in (
        lambda: home.elapsed,  # a new search's first question
        lambda: shared.claim("id"),
        lambda: shared.commit(search),
    ):
        with pytest.raises(ConfigError, match=r"tracking\.storage=nosuch://bucket cannot be used"):
            action()
    assert shared.size == 0


def test_a_storage_whose_package_is_missing_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    home = SearchFolder("one", tmp_path, SharedFolder("one", "gcs://bucket", "sqlite://"))
    with pytest.raises(ConfigError, match=r"tracking\.storage=gcs://bucket .*; install"):
        _ = home.elapsed


def test_a_name_is_free_again_after_a_search_that_was_not_begun(
    search: Search, storage: str, machines: list[Path]
) -> None:
    home = folder_of("one", search.config.tracking)
    home.begin(search)
    home.discard()
    assert place_at(f"{storage}/searches/one").names("*.json") == []
    assert list(machines[0].iterdir()) == []


def test_checkpoints_are_dropped_and_cleared_where_they_lie(
    search: Search, machines: list[Path]
) -> None:
    home = begun(search)
    for number in (0, 1):
        for name in ("last.pt", "best.pt"):
            home.checkpoints(number).write(name, b"1234")
    drop = DropUnneeded(home, "trial", 0, Choice.of(search))
    drop.changed(TrialLog(0, {}, 0, state=TrialState.FAIL))
    assert home.checkpoints(0).names("*.pt") == []
    assert home.checkpoints(1).names("*.pt") == ["best.pt", "last.pt"]
    assert home.clear_checkpoints() == 8
    assert home.checkpoints(1).names("*.pt") == []


def test_the_report_is_where_the_others_find_it(
    search: Search, storage: str, tmp_path: Path, machines: list[Path]
) -> None:
    home = begun(search)
    (tmp_path / "report.html").write_text("all")
    assert home.shared is not None
    home.shared.publish([tmp_path / "report.html"])
    assert place_at(f"{storage}/searches/one").read("report.html") == b"all"


def test_a_relative_storage_is_the_same_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("all") == str(tmp_path / "all")
    assert absolute("s3://bucket") == "s3://bucket"
    assert folder_of("one", TrackingConfig()).shared is None


def test_finding_a_search_loads_nothing_slow(tmp_path: Path) -> None:
    words = "import sys, tune.study.lookup as f; print({'torch', 'optuna'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
