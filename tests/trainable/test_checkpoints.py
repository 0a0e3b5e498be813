"""A whole checkpoint is there, whatever happens."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trainable.checkpoints import (
    BEST,
    LAST,
    CheckpointError,
    Checkpoints,
    NoSpaceError,
    digest_of,
)
from trainable.config import TrialConfig


def state(epoch: int) -> dict[str, object]:
    return {"epoch": epoch, "weight": torch.full((100,), float(epoch))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "trial"


def test_the_last_and_the_best_are_kept(folder: Path) -> None:
    checkpoints = Checkpoints(folder)
    assert checkpoints.last() is None
    for epoch, best in ((1, True), (2, True), (3, False)):
        checkpoints.save(state(epoch), best=best)
    last = checkpoints.last()
    assert last is not None
    assert last["epoch"] == 3
    assert torch.equal(last["weight"], torch.full((100,), 3.0))
    assert torch.load(folder / BEST, weights_only=True)["epoch"] == 2
    assert sorted(path.name for path in folder.iterdir()) == [BEST, LAST]


def test_the_best_takes_no_room_while_it_is_the_last(folder: Path) -> None:
    Checkpoints(folder).save(state(1), best=True)
    assert (folder / BEST).samefile(folder / LAST)


@pytest.fixture
def no_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file system be one without hard links, such as exFAT."""

    def refuse(source: str, target: str) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", source, None, target)

    monkeypatch.setattr(os, "link", refuse)


def test_without_hard_links_the_best_is_a_copy(folder: Path, no_hard_links: None) -> None:
    checkpoints = Checkpoints(folder)
    for epoch, best in ((1, True), (2, True), (3, False)):
        checkpoints.save(state(epoch), best=best)
        assert torch.load(folder / LAST, weights_only=True)["epoch"] == epoch
        assert torch.load(folder / BEST, weights_only=True)["epoch"] == min(epoch, 2)
    assert not (folder / BEST).samefile(folder / LAST)
    assert sorted(path.name for path in folder.iterdir()) == [BEST, LAST]


@pytest.mark.parametrize("links", [True, False])
def test_that_no_space_is_left_is_said_with_and_without_hard_links(
    links: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    checkpoints = Checkpoints(folder)
    checkpoints.save(state(1), best=True)
    monkeypatch.setattr(os, "link", full if links else refuse)
    monkeypatch.setattr(shutil, "copyfile", full)

    with pytest.raises(NoSpaceError, match="no space is left for checkpoints"):
        checkpoints.save(state(2), best=True)

    # The trial goes on from the last one, and comes to the same best one.
    assert torch.load(folder / LAST, weights_only=True)["epoch"] == 1
    assert torch.load(folder / BEST, weights_only=True)["epoch"] == 2
    assert sorted(path.name for path in folder.iterdir()) == [BEST, LAST]


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut short"])
def test_one_that_cannot_be_read_is_told_and_passed_over(folder: Path, content: bytes) -> None:
    checkpoints = Checkpoints(folder)
    checkpoints.save(state(1), best=True)
    (folder / LAST).write_bytes(content)
    with pytest.warns(UserWarning, match="the trial starts again"):
        assert checkpoints.last() is None


def test_code_in_one_is_not_run(folder: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, ("touch attacked",)

    folder.mkdir()
    torch.save({"epoch": Attack()}, folder / LAST)
    with pytest.warns(UserWarning, match="the trial starts again"):
        assert Checkpoints(folder).last() is None
    assert not Path("attacked").exists()


def test_on_a_full_disk_those_before_stay(folder: Path) -> None:
    checkpoints = Checkpoints(folder)
    checkpoints.save(state(1), best=True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises((OSError, RuntimeError)):
            checkpoints.save(state(2), best=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert torch.load(folder / LAST, weights_only=True)["epoch"] == 1
    assert torch.load(folder / BEST, weights_only=True)["epoch"] == 1
    assert sorted(path.name for path in folder.iterdir()) == [BEST, LAST]


KILLED = """
import os, signal, sys, torch
from pathlib import Path
from trainable.checkpoints import Checkpoints

checkpoints = Checkpoints(Path(sys.argv[1]))
checkpoints.save({"epoch": 1}, best=True)
save = torch.save

def half(state, file):
    save(state, file)
    file.truncate(100)
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

torch.save = half
checkpoints.save({"epoch": 2}, best=True)
"""


def test_a_kill_while_writing_leaves_those_before(folder: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(folder.iterdir())) == 3
    last = Checkpoints(folder).last()
    assert last is not None
    assert last["epoch"] == 1
    assert len(list(folder.iterdir())) == 2
    assert torch.load(folder / BEST, weights_only=True)["epoch"] == 1


def test_a_checkpoint_of_another_trial_is_not_gone_on_from(folder: Path) -> None:
    config = TrialConfig(data={"limit": 100})
    other = TrialConfig(data={"limit": 100}, optim={"lr": 0.5})
    Checkpoints(folder, config).save(state(1), best=True)
    mine = Checkpoints(folder, config)
    assert mine.best().keys() == state(1).keys()
    found = mine.last()
    assert found is not None
    assert found["epoch"] == 1
    foreign = Checkpoints(folder, other)
    with pytest.warns(UserWarning, match="of a trial with another config: the trial starts again"):
        assert foreign.last() is None
    with pytest.raises(CheckpointError, match="another config"):
        foreign.best()
    foreign.save(state(2), best=True)
    assert foreign.best()["epoch"] == 2


def test_a_checkpoint_of_before_configs_were_noted_is_gone_on_from(folder: Path) -> None:
    Checkpoints(folder).save(state(3), best=True)
    found = Checkpoints(folder, TrialConfig()).last()
    assert found is not None
    assert found["epoch"] == 3


def test_a_trial_is_known_by_what_its_config_sets() -> None:
    """So that a key that a later version adds changes nothing."""
    assert digest_of(TrialConfig(optim={"lr": 1e-3})) == digest_of(TrialConfig())
    assert digest_of(TrialConfig(train={"seed": 1})) != digest_of(TrialConfig())
