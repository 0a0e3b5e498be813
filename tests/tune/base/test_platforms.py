"""Systems that the package runs on, and one that it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.commands import user_environment
from tests.helpers.processes import run
from tune.base.commands import COMMANDS

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
    assert line.startswith("resnet-tune runs on Linux and macOS, not on Windows: use it in WSL")


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
