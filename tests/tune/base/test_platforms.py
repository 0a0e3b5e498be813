"""Systems that the package runs on, and one that it does not."""

from __future__ import annotations

import ctypes
import io
import mmap
import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
from rich.console import Console

from tests.helpers.commands import user_environment
from tests.helpers.processes import run
from trainable import device
from trainable.store import entries
from trainable.store.description import Description
from tune.base.commands import COMMANDS
from tune.base.errors import ConfigError
from tune.checks import machine
from tune.config.loading import load_config
from tune.engine import readiness

WINDOWS = "import sys\nsys.platform = 'win32'\nsys.modules['fcntl'] = None\n"


def run_on(system: str, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python as it would find itself on another system."""
    (folder / "startup").mkdir()
    (folder / "startup" / "sitecustomize.py").write_text(system)
    variables = user_environment()
    variables["PYTHONPATH"] = f"{variables['PYTHONPATH']}:{folder / 'startup'}"
    return run([sys.executable, *words], cwd=folder, env=variables)


def test_each_command_says_in_one_line_that_it_does_not_run_on_windows(tmp_path: Path) -> None:
    code = (
        "import runpy, sys\n"
        f"for name in {['tune', *(f'tune.{name}' for name in COMMANDS)]}:\n"
        "    sys.argv[0] = '-m'\n"
        "    try:\n"
        "        runpy.run_module(name, run_name='__main__')\n"
        "    except SystemExit as end:\n"
        "        print(name, end)\n"
    )
    done = run_on(WINDOWS, "-c", code, folder=tmp_path)
    assert done.stderr == ""
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert lines.keys() == {"tune", *(f"tune.{name}" for name in COMMANDS)}
    (line,) = set(lines.values())
    assert line.startswith("resnet-tune runs on Linux, not on Windows: use it in WSL")


@pytest.mark.parametrize(
    "words",
    [
        ("-m", "tune.search"),
        ("-c", "import sys; sys.argv[0] = 'C:/Scripts/resnet-tune.exe'; import tune.__main__"),
    ],
)
def test_it_is_the_only_line_of_a_process(words: tuple[str, ...], tmp_path: Path) -> None:
    done = run_on(WINDOWS, *words, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "not on Windows" in done.stderr


def test_a_program_gets_an_exception_on_windows(tmp_path: Path) -> None:
    code = "try:\n    import tune\nexcept ImportError as error:\n    print(error)"
    done = run_on(WINDOWS, "-c", code, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "not on Windows" in done.stdout


@pytest.fixture
def no_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    """What macOS lacks of Linux: calls of the system, of the C library, and folders."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # without mallopt
    path, exists = type(Path()), Path.exists
    hidden = ("/proc", "/sys")
    monkeypatch.setattr(
        path, "exists", lambda self: not str(self).startswith(hidden) and exists(self)
    )


def test_what_linux_alone_has_is_done_without_elsewhere(no_linux: None, tmp_path: Path) -> None:
    found = device.resolve_device("fp32", 1, use_gpu=False)
    device.release_memory()
    assert found.num_threads == 1
    assert device.available_cores() == os.cpu_count()
    assert machine.check_cpu().message.startswith(f"{os.cpu_count()} CPUs")
    assert machine.check_gpus().message == "none: trials run on the CPUs"
    assert machine.check_shared_memory(tmp_path / "shm").state == "ok"


def refuse(*_: object) -> None:
    raise ConfigError("Ray is not started")


@pytest.mark.parametrize(
    ("system", "said"),
    [
        ("linux", ""),
        ("darwin", "system   no search has been tested on macOS; Linux, also in a container, is"),
    ],
)
def test_a_search_says_at_its_start_that_none_was_tested_on_a_system(
    system: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "start_ray", refuse)
    monkeypatch.setattr(sys, "platform", system)
    stream = io.StringIO()
    with pytest.raises(ConfigError):
        readiness.prepare(load_config(None, []), Console(file=stream, width=60))
    assert stream.getvalue().removesuffix(" tested\n") == said


def test_the_store_maps_its_arrays_without_linuxs_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        spec = spec_from_file_location("entries_elsewhere", entries.__file__)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
    flags: list[int] = []
    whole = mmap.mmap

    def seen(number: int, length: int, given: int, access: int) -> mmap.mmap:
        flags.append(given)
        return whole(number, length, given, access)

    monkeypatch.setattr(mmap, "mmap", seen)
    (tmp_path / "data").write_bytes(torch.arange(4.0).numpy().tobytes())
    content = Description(key={}, dtype="float32", shape=[4], size=16, chunk=4)
    for each in (module, entries):
        assert each.map_array(tmp_path / "data", content).tolist() == [0, 1, 2, 3]
    assert flags[0] == mmap.MAP_PRIVATE
    assert flags[1] != mmap.MAP_PRIVATE
