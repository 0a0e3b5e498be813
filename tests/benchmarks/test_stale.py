"""The figures of RESULTS.md, what they depend on, and the README's beside them."""

from __future__ import annotations

import re
import subprocess
import warnings
from pathlib import Path

import pytest

from benchmarks import stale
from tests.helpers.commands import REPOSITORY

SECTIONS = stale.sections(stale.RESULTS.read_text())
README = (REPOSITORY / "README.md").read_text()
LINK = re.compile(r"benchmarks/RESULTS\.md#([\w-]+)")


class StaleFigures(UserWarning):
    """Figures that are older than the code that they measure."""


def test_every_section_with_figures_names_its_commit_and_files_or_is_not_measured() -> None:
    with_figures = [s for s in SECTIONS if re.search(r"^(\||```)", s.text, re.MULTILINE)]
    assert len(with_figures) > 10
    undated = [s.title for s in with_figures if not s.commit and "Not measured yet" not in s.text]
    assert undated == []


def test_what_a_section_depends_on_exists() -> None:
    for section in SECTIONS:
        assert bool(section.paths) == bool(section.commit), section.title
        assert [p for p in section.paths if not (REPOSITORY / p).exists()] == [], section.title


def test_every_link_to_the_results_leads_to_a_section() -> None:
    anchors = {section.anchor for section in SECTIONS}
    for page in (REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")):
        assert set(LINK.findall(page.read_text())) <= anchors, page


def test_every_figure_of_how_fast_stands_in_the_section_that_it_links_to() -> None:
    text = README.split("\n## How fast\n")[1].split("\n## ")[0]
    items = re.split(r"^- ", text, flags=re.MULTILINE)[1:]
    assert len(items) >= 3
    texts = {section.anchor: section.text for section in SECTIONS}
    for item in items:
        linked = LINK.findall(item)
        assert linked, item
        source = " ".join(texts[anchor] for anchor in linked)
        words = re.sub(r"\(benchmarks/RESULTS\.md[^)]*\)", "", item)
        missing = [
            n for n in _numbers(words) if not any(_rounds_to(m, n) for m in _numbers(source))
        ]
        assert missing == [], item


@pytest.mark.filterwarnings("always::tests.benchmarks.test_stale.StaleFigures")
def test_figures_older_than_their_code_are_reported_as_a_warning() -> None:
    """Stale figures fail nothing: to warn whoever runs the tests is all that is meant here.

    What counts as stale is asserted below.
    """
    if reason := stale.no_history():
        pytest.skip(reason)
    if lines := stale.stale(SECTIONS):
        warnings.warn("\n".join(["of benchmarks/RESULTS.md:", *lines]), StaleFigures, stacklevel=1)


def test_a_section_is_stale_once_a_file_of_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stale, "REPOSITORY", tmp_path)
    assert "no git repository" in str(stale.no_history())
    _git(tmp_path, "init", "-q")
    measured = _commit(tmp_path, "code.py", "one")
    _commit(tmp_path, "other.py", "one")
    assert stale.no_history() is None
    text = f"## Speed\n\n*Measured at `{measured}`; depends on `code.py`.*\n\n| 1 s |\n"
    (section,) = stale.sections(text)
    assert section.paths == ("code.py",)
    assert stale.stale([section]) == []
    _commit(tmp_path, "code.py", "two")
    (line,) = stale.stale([section])
    assert line == f"Speed: measured at {measured}, 1 commits to what it depends on since"
    (lost,) = stale.sections(text.replace(measured, "0" * 40))
    assert "no commit of this history" in stale.stale([lost])[0]


def test_a_shallow_clone_has_no_history_to_compare_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    _git(whole, "init", "-q")
    _commit(whole, "code.py", "one")
    _commit(whole, "code.py", "two")
    _git(tmp_path, "clone", "-q", "--depth", "1", whole.as_uri(), "shallow")
    monkeypatch.setattr(stale, "REPOSITORY", tmp_path / "shallow")
    assert stale.no_history() == "this is a shallow clone"


def test_a_machine_without_git_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert stale.no_history() == "git is not installed"


def _commit(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    _git(folder, "add", ".")
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    _git(folder, *who, "-c", "commit.gpgsign=false", "commit", "-qm", text)
    return _git(folder, "rev-parse", "HEAD")


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _numbers(text: str) -> list[str]:
    """Numbers that a unit or a count follows, as they are written, without thousands' commas."""
    return re.findall(r"(?<![\w.-])\d+(?:\.\d+)?(?![\w.-]*[a-z])", text.replace(",", ""))


def _rounds_to(precise: str, short: str) -> bool:
    decimals = len(short.partition(".")[2])
    return f"{float(precise):.{decimals}f}" == short
