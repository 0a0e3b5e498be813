"""Figures of RESULTS.md that are older than the code that they measure.

    python benchmarks/stale.py

Each section of RESULTS.md names the commit that it was measured at, and the files that its figures
depend on. Where commits since have changed these files, the figures may have changed too: such
sections are printed with the number of these commits, the most outdated first, and their number
last as one line of JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "benchmarks" / "RESULTS.md"
_MEASURED = re.compile(
    r"^\*Measured at\s`([0-9a-f]{7,40})`;\sdepends\son\s([^*]+)\.\*$", re.MULTILINE
)
_HEADING = re.compile(r"^#{2,} (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """A section of RESULTS.md, without the sections below it.

    Attributes:
        title: Its heading.
        text: What follows, up to the next heading.
        commit: The one that it was measured at; None where it does not name one.
        paths: What its figures depend on, from the repository's root.
    """

    title: str
    text: str
    commit: str | None
    paths: tuple[str, ...]

    @property
    def anchor(self) -> str:
        """What links to the section, as GitHub makes it of the heading."""
        return re.sub(r"[^\w -]", "", self.title.lower()).replace(" ", "-")


def sections(text: str) -> list[Section]:
    """The sections of a document, in its order."""
    parts = _HEADING.split(text)[1:]
    return [_section(title, body) for title, body in zip(parts[::2], parts[1::2], strict=True)]


def stale(given: Sequence[Section]) -> list[str]:
    """A line for each section whose files have changed since, the most outdated first."""
    counted = [(_commits_since(section), section) for section in given if section.commit]
    unknown = [s for count, s in counted if count is None]
    changed = sorted(((c, s) for c, s in counted if c), key=lambda pair: -pair[0])
    return [
        *(f"{s.title}: {s.commit} is no commit of this history" for s in unknown),
        *(
            f"{s.title}: measured at {s.commit}, {count} commits to what it depends on since"
            for count, s in changed
        ),
    ]


def no_history() -> str | None:
    """Why nothing can be said of commits here; None where it can."""
    try:
        shallow = _git("rev-parse", "--is-shallow-repository")
    except FileNotFoundError:
        return "git is not installed"
    if shallow.returncode:
        return "this is no git repository: " + (shallow.stderr.splitlines() or ["?"])[0]
    return "this is a shallow clone" if shallow.stdout.strip() == "true" else None


def _section(title: str, body: str) -> Section:
    found = _MEASURED.search(body)
    if found is None:
        return Section(title, body, None, ())
    return Section(title, body, found[1], tuple(re.findall(r"`([^`]+)`", found[2])))


def _commits_since(section: Section) -> int | None:
    """The number of commits that have changed what a section depends on; None if it is unknown."""
    assert section.commit is not None
    counted = _git("rev-list", "--count", f"{section.commit}..HEAD", "--", *section.paths)
    return None if counted.returncode else int(counted.stdout)


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


def main() -> None:
    """Print the stale sections."""
    if reason := no_history():
        sys.exit(f"stale.py: {reason}")
    measured = [section for section in sections(RESULTS.read_text()) if section.commit]
    lines = stale(measured)
    print("\n".join(lines))
    print(json.dumps({"measured": len(measured), "stale": len(lines)}))


if __name__ == "__main__":
    main()
