"""Processes that read image files: as threads do, and without them where they are not to be had."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from loky import get_reusable_executor

from trainable.data.decoding import processes
from trainable.data.decoding.files import Files
from trainable.data.decoding.image_file import ImageError, read_squares
from trainable.data.decoding.processes import LEAST_FILES, beside

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine with many cores, two of which are taken."""
    monkeypatch.setattr(processes, "_BY_THREADS", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
    get_reusable_executor(max_workers=1).shutdown(wait=True)


def process_of(_: object) -> int:
    return os.getpid()


def killed_elsewhere(parent: int) -> str:
    if os.getpid() != parent:
        os._exit(9)
    return "here"


def test_few_files_are_read_here(many_cores: None) -> None:
    assert beside(process_of, LEAST_FILES - 1)(0) == os.getpid()


@pytest.mark.slow
def test_many_are_read_elsewhere(many_cores: None) -> None:
    assert beside(process_of, LEAST_FILES)(0) != os.getpid()


@pytest.mark.parametrize(("threads", "is_here"), [(1, True), (2, True), (3, False), (8, False)])
def test_two_cores_need_no_processes(
    threads: int, is_here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert (beside(process_of, LEAST_FILES) is process_of) == is_here


@pytest.mark.slow
def test_what_a_killed_process_was_to_read_is_read_here(many_cores: None) -> None:
    assert beside(killed_elsewhere, LEAST_FILES)(os.getpid()) == "here"


def test_they_find_what_threads_find(
    many_cores: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    write_classes: Callable[..., Path],
) -> None:
    root = write_classes(tmp_path / "all", {"ants": 90})
    (root / "ants" / "broken.png").write_bytes(b"no image")
    paths = sorted(root.glob("*/*"))
    here = Files(paths, None).facts
    monkeypatch.setattr(processes, "LEAST_FILES", 1)

    there = Files(paths, None).facts

    assert here.tobytes() == there.tobytes()
    assert there["broken"].sum() == 1


def test_a_broken_file_is_named_as_it_is_here(many_cores: None, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")

    with pytest.raises(ImageError, match=r"a\.png cannot be read as an image") as told:
        beside(read_squares, LEAST_FILES)([tmp_path / "a.png"], 8)

    assert told.value.brief.startswith(str(tmp_path / "a.png"))
    assert "repair" not in told.value.brief


@pytest.mark.slow
def test_a_script_needs_no_main_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, torch\n"
        "print('begun')\n"
        "from trainable.data.decoding import processes\n"
        "processes._BY_THREADS = 1\n"
        "torch.set_num_threads(2)\n"
        "print(processes.beside(os.getpid, 10**6)() != os.getpid())\n"
    )

    done = subprocess.run(
        [sys.executable, str(script)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )

    assert done.stdout.split() == ["begun", "True"], done.stderr
    assert "Error" not in done.stderr
