"""`resnet-tune`: every command under one name, listed without loading any."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
import shellingham

from tests.helpers.commands import run_module, user_environment
from tests.helpers.doors import invoke
from tests.helpers.processes import run
from tune.__main__ import main
from tune.base.commands import COMMANDS, PROGRAM, as_typed

SLOW_TO_IMPORT = ("torch", "ray", "mlflow", "optuna", "streamlit")


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, str, str]:
    """The exit code and what is printed, of the command in this process."""
    with pytest.raises(SystemExit) as end:
        main(words)
    return end.value.code, *capsys.readouterr()


@pytest.mark.parametrize("words", [(), ("--help",)])
def test_all_commands_are_listed(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, output, errors = call(capsys, *words)
    assert (code, errors) == (0, "")
    for name, summary in COMMANDS.items():
        assert f" {name} " in output
        assert summary.split()[0] in output


def test_listing_them_loads_none_and_nothing_slow(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from tune.__main__ import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "except SystemExit as end:\n"
        "    loaded = {name for name in sys.modules if name.startswith('tune.')}\n"
        "    print(*{*sys.modules} & {" + repr(SLOW_TO_IMPORT)[1:-1] + "})\n"
        "    print(*loaded)\n"
    )
    done = run([sys.executable, "-c", code], cwd=tmp_path, env=user_environment())
    *_, slow, modules = done.stdout.splitlines()
    assert slow == ""
    assert not {f"tune.{name}" for name in COMMANDS} & set(modules.split())


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    code, output, _ = call(capsys, "--version")
    assert code == 0
    assert output.startswith(f"{PROGRAM} ")
    assert output.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["serach"], "resnet-tune: serach: no such command; nearest: search\n"),
        (["tune.search"], "resnet-tune: tune.search: no such command; nearest: search\n"),
        (["q", "--help"], "resnet-tune: q: no such command\n"),
        (["--verson"], "resnet-tune: --verson: no such option; nearest: --version\n"),
        (["--version=2"], "resnet-tune: --version: does not take a value\n"),
        (["--", "serach"], "resnet-tune: serach: no such command; nearest: search\n"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, *words) == (2, "", message)


def test_a_command_is_its_module(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, *words in (["search", "--num-sample=5"], ["report", "one", "two"], ["predict"]):
        done = invoke(f"tune.{name}", *words, cwd=tmp_path)
        assert call(capsys, name, *words) == (done.returncode, done.stdout, done.stderr)
        assert done.returncode == 2


def test_the_help_of_a_command_names_it_as_it_was_called(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, output, _ = call(capsys, "cache", "--help")
    assert "Usage: resnet-tune cache [OPTIONS]" in output
    assert "--clear-finished" in output


def completed(line: str, folder: Path) -> list[str]:
    """What the shell is offered at the end of a line."""
    words = line.split(" ")
    environment = {
        **user_environment(),
        "_RESNET_TUNE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = run([sys.executable, "-m", "tune"], cwd=folder, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_the_shell_completes_commands_options_and_presets(tmp_path: Path) -> None:
    (tmp_path / "images.yaml").touch()
    (tmp_path / "images").mkdir()
    assert completed("resnet-tune re", tmp_path) == ["report", "registry"]
    assert completed("resnet-tune cache --clear-", tmp_path) == [
        "--clear-finished",
        "--clear-search",
    ]
    assert completed("resnet-tune search --config ima", tmp_path) == ["image_folder", "images.yaml"]


@pytest.mark.parametrize(
    ("shell", "asked"),
    [
        ("zsh", {"_TYPER_COMPLETE_ARGS": "resnet-tune re"}),
        (
            "fish",
            {"_TYPER_COMPLETE_ARGS": "resnet-tune re", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
        ),
    ],
)
def test_other_shells_are_offered_commands_too(
    shell: str, asked: dict[str, str], tmp_path: Path
) -> None:
    variables = {**user_environment(), **asked, "_RESNET_TUNE_COMPLETE": f"complete_{shell}"}
    done = run([sys.executable, "-m", "tune"], cwd=tmp_path, env=variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"(re\w+)(?:\":|\t)", done.stdout) == ["report", "registry"]


@pytest.mark.parametrize(
    ("shell", "file"),
    [
        ("bash", ".bash_completions/resnet-tune.sh"),
        ("zsh", ".zfunc/_resnet-tune"),
        ("fish", ".config/fish/completions/resnet-tune.fish"),
    ],
)
def test_completion_is_installed(
    shell: str,
    file: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shellingham, "detect_shell", lambda *_: (shell, f"/bin/{shell}"))
    monkeypatch.setenv("HOME", str(tmp_path))
    code, output, errors = call(capsys, "--install-completion")
    assert (code, errors) == (0, "")
    assert f"{shell} completion installed in {tmp_path / file}" in output
    script = (tmp_path / file).read_text()
    assert f"_RESNET_TUNE_COMPLETE=complete_{shell}" in script
    if shell == "bash":  # which is on every machine
        assert completed_in_bash("resnet-tune", "re", home=tmp_path) == ["report", "registry"]


def completed_in_bash(*words: str, home: Path) -> list[str]:
    """What bash, started anew, offers at the end of these words."""
    program = home / "resnet-tune"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tune "$@"\n')
    program.chmod(0o755)
    line = (
        'source "$HOME/.bashrc"; found=$(complete -p resnet-tune); found=${found#*-F };'
        f" COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1};"
        ' "${found%% *}" resnet-tune; echo "${COMPREPLY[@]}"'
    )
    variables = {**user_environment(), "HOME": str(home), "PATH": f"{home}:{os.environ['PATH']}"}
    done = run(["bash", "-c", line], cwd=home, env=variables)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_completion_can_be_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shellingham, "detect_shell", lambda *_: ("bash", "/bin/bash"))
    code, output, _ = call(capsys, "--show-completion", "bash")
    assert code == 0
    assert "_RESNET_TUNE_COMPLETE=complete_bash" in output


def test_the_package_runs_as_a_module(tmp_path: Path) -> None:
    done = run_module("tune", "--version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{PROGRAM} ")


@pytest.mark.parametrize(
    ("script", "typed"),
    [
        ("/home/me/.local/bin/resnet-tune", "resnet-tune search --resume first"),
        ("/home/me/tune/search.py", "python -m tune.search --resume first"),
        ("-m", "python -m tune.search --resume first"),
    ],
)
def test_what_is_advised_is_typed_as_the_command_was(
    script: str, typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [script])
    assert as_typed("search --resume first") == typed
