"""What is the same for every command: options, mistakes and exit codes."""

from __future__ import annotations

import errno
import io
import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import typer
from PIL import Image
from rich.table import Table

from tests.helpers.commands import REPOSITORY, run_module
from tests.helpers.doors import DOORS, invoke
from tune.base.commands import COMMANDS, module_of
from tune.base.errors import ConfigError
from tune.cli import Door, complain, open_console


def options(door: str) -> list[str]:
    command = typer.main.get_command(import_module(door).app)
    return [name for param in command.params for name in param.opts if name.startswith("--")]


def test_every_command_is_a_door() -> None:
    runnable = {
        f"tune.{path.stem}"
        for path in (REPOSITORY / "tune").glob("*.py")
        if 'if __name__ == "__main__":' in path.read_text() and path.stem != "__main__"
    }
    assert runnable == set(DOORS)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    (layers,) = [
        each["layers"]
        for each in project["tool"]["importlinter"]["contracts"]
        if each.get("containers") == ["tune"]
    ]
    # Between bars, so that none imports another.
    assert {f"tune.{name}" for name in layers[1].split(" | ")} == set(DOORS)
    for door in DOORS:
        app = import_module(door).app
        assert isinstance(app, Door)
        assert app.name == door
        assert options(door)
        told = " ".join(app.registered_commands[0].callback.__doc__.split("\n\n")[0].split())
        assert COMMANDS[door.removeprefix("tune.")] == told


@pytest.mark.parametrize("door", DOORS)
def test_an_unknown_option_is_reported_with_the_nearest_one(door: str, tmp_path: Path) -> None:
    for option in options(door):
        done = invoke(door, f"{option}s", cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr == f"{door}: {option}s: no such option; nearest: {option}\n"
    done = invoke(door, "--nothing-like-it", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{door}: --nothing-like-it: no such option\n"
    assert list(tmp_path.iterdir()) == []


def test_an_option_with_a_value_is_known_by_its_name(tmp_path: Path) -> None:
    done = invoke("tune.search", "--num-sample=5", cwd=tmp_path)
    assert done.stderr == "tune.search: --num-sample: no such option; nearest: --num-samples\n"


@pytest.mark.parametrize(
    ("door", "words", "message"),
    [
        ("search", ["--num-samples"], "--num-samples: requires an argument"),
        ("debug", ["--save"], "--save: requires an argument"),
        ("export", ["--out"], "--out: requires an argument"),
        ("cache", ["--clear=yes"], "--clear: does not take a value"),
        ("predict", ["--top-k=many"], "--top-k many: input should be a valid integer"),
        ("predict", ["--top-k", "0"], "--top-k 0: input should be greater than or equal to 1"),
        ("export", ["--format=onyx"], "--format onyx: 'onyx' is not one of 'onnx', 'pt2', 'int8'"),
        ("report", ["one", "two"], "got unexpected extra argument(s) (two)"),
        ("doctor", ["everything"], "'everything': an override is written key=value"),
        ("registry", ["-x"], "-x: no such option"),
    ],
)
def test_a_wrong_value_is_reported_in_one_line(
    door: str, words: list[str], message: str, tmp_path: Path
) -> None:
    done = invoke(f"tune.{door}", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"tune.{door}: {message}")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_argument_is_reported_in_one_line(tmp_path: Path) -> None:
    app = Door("tune.example")

    @app.command()
    def main(image: str) -> int:
        raise AssertionError(image)

    with pytest.raises(SystemExit, match="2"):
        app([])
    done = typer.testing.CliRunner().invoke(app, [])
    assert done.exit_code == 2
    assert done.stderr == "tune.example: missing argument 'image'\n"


def test_a_process_reports_a_mistake_as_the_tests_see_it(tmp_path: Path) -> None:
    words = ("tune.search", "--num-sample=5")
    here, there = invoke(*words, cwd=tmp_path), run_module(*words, cwd=tmp_path)
    assert (here.returncode, here.stdout, here.stderr) == (2, "", there.stderr)
    assert (there.returncode, there.stdout) == (2, "")


def test_a_mistake_found_by_the_command_itself_ends_with_2() -> None:
    app = Door("tune.example")

    @app.command()
    def main(code: int) -> int:
        if code == 9:
            raise ConfigError("nine\nis too many")
        if code == 8:
            raise KeyboardInterrupt
        return code

    runner = typer.testing.CliRunner()
    done = runner.invoke(app, ["9"])
    assert (done.exit_code, done.stderr) == (2, "tune.example: nine is too many\n")
    assert [runner.invoke(app, [str(code)]).exit_code for code in (0, 1, 8)] == [0, 1, 130]


def test_a_full_disk_ends_a_command_with_1_and_one_line() -> None:
    app = Door("tune.example")

    @app.command()
    def main(number: int) -> int:
        raise OSError(number, os.strerror(number), "model.onnx")

    runner = typer.testing.CliRunner()
    done = runner.invoke(app, [str(errno.ENOSPC)])
    assert done.exit_code == 1
    assert done.stderr.startswith("tune.example: no space is left on the disk (")
    assert done.stderr.count("\n") == 1
    assert isinstance(runner.invoke(app, [str(errno.EIO)]).exception, OSError)


@pytest.mark.parametrize("door", DOORS)
def test_help_names_every_option_and_the_exit_codes(door: str, tmp_path: Path) -> None:
    done = invoke(door, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for option in options(door):
        assert re.search(rf"{option}\b", done.stdout), option
    assert "Exit code: 0 " in done.stdout
    assert f"python -m {door}" in done.stdout


def test_the_terminal_takes_no_name_for_markup() -> None:
    output = io.StringIO()
    console = open_console(file=output, width=80)
    table = Table("name", box=None)
    table.add_row("[red]x[/blue] :smile:")
    console.print("[red]x[/blue] :smile:", table)
    assert output.getvalue().startswith("[red]x[/blue] :smile:\n")
    assert output.getvalue().count("[red]x[/blue] :smile:") == 2


def test_a_problem_is_one_line_whatever_names_are_in_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    complain("tune.example", "no image in two\nlines\x1b[31m")
    assert capsys.readouterr().err == "tune.example: no image in two\\nlines\\x1b[31m\n"


def test_the_commands_do_not_wait_for_what_is_slow_to_import() -> None:
    code = (
        f"import sys, {', '.join(DOORS)}; "
        "print([name for name in ('torch', 'ray', 'mlflow') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert done.stdout == "[]\n"


READING = (
    "report",
    "report first",
    "registry",
    "registry resnet18-digits",
    "registry resnet18-digits --rollback",
    "registry resnet18-digits --promote 2",
    "predict {image}",
    "predict {image} --model resnet18-digits",
    "predict {image} --model models:/resnet18-digits@champion",
    "predict {image} --model nowhere/model",
    "evaluate {folder}",
    "evaluate {folder} --model models:/resnet18-digits/1",
    "export",
    "export --model models:/resnet18-digits/1 --format pt2",
    "cache",
    "cache --clear-finished",
    "cache --clear-search first",
    "cache --clear",
    "keys lr",
    "doctor",
    "doctor --fix",
    "debug --from-run 0a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "search --dry-run data.limit=100",
    "search --resume first",
    "search --print-config",
)


@pytest.mark.parametrize("line", READING)
def test_what_only_reads_writes_nothing_into_an_empty_folder(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, pictures = tmp_path / "here", tmp_path / "pictures" / "one"
    here.mkdir()
    pictures.mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(pictures / "a.png")
    command, *words = line.format(image=pictures / "a.png", folder=pictures.parent).split()
    monkeypatch.setenv("TUNE_CACHE", str(tmp_path / "cache"))
    invoke(module_of(command), *words, cwd=here)
    assert list(here.iterdir()) == []
    assert not (tmp_path / "cache").exists()
