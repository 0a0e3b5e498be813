"""Real searches, killed at random moments and resumed: is anything lost, doubled, left running?

    python benchmarks/kills.py --kills 50 --seed 0     # about an hour and a half
    python benchmarks/kills.py --quick

A search has 12 trials on the digits, two at once, then the best one again under two other seeds, in
an empty folder with MLflow's and Optuna's own databases. At a random moment, from its first second
to its last, a random victim gets SIGKILL: the search's own process, a trial's worker, one of Ray's
processes, or all of them; or all of them lose their power, and with it what they had not synced
(`killing/power.py`, which needs a C compiler: without one that victim is left out). Every second
search is killed once more while it is resumed. A kill counts only if it hit a process of a search
that was running; else another search is begun. The search is then resumed until it ends, its model
is loaded and labels images, and it is looked at from outside:

- lost: trials that are missing, have no end or lack an epoch, models that do not load, and searches
  that did not end, did not register a model, or left a process behind;
- doubled: trials, runs, epochs or models that are there twice, and trials that had ended when the
  search was killed (by what is on the disk then) and were run again;
- left running: trials or runs that are still said to be running.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import optuna

sys.path.insert(0, str(Path(__file__).parents[1]))  # for a copy that is not installed

from killing.looking import Findings, ended_trials, leftovers, look
from killing.power import Disk, compile_library
from killing.search import VICTIMS, Plan, Search

from tune.base.environment import prepare_environment

TRIES = 20
"""Searches that are begun for a kill until one is hit."""
STOPPING = {"driver", "group", "power"}
"""Victims after whose death nobody writes to the study: what has ended then may not run again."""


@dataclass(frozen=True)
class Hit:
    """Who was killed, and after how many seconds."""

    victim: str
    moment: float

    def __str__(self) -> str:
        return f"{self.victim} after {self.moment:.1f} s"


@dataclass(frozen=True)
class Kill:
    """What was done to a search, and what came of it.

    Attributes:
        victims: Who was killed, one kill after the other.
        resumes: How often it was resumed until it ended.
        findings: What was wrong.
        output: What it printed.
    """

    victims: tuple[str, ...]
    resumes: int
    findings: Findings
    output: str


@dataclass(frozen=True)
class Killer:
    """Kills searches.

    Attributes:
        plan: The search.
        seconds: How long it takes.
        victims: Whom to kill.
        library: What keeps what is synced.
        draw: The source of all that is random.
    """

    plan: Plan
    seconds: float
    victims: tuple[str, ...]
    library: Path | None
    draw: random.Random

    def one(self, folder: Path, *, again: bool) -> Kill | None:
        """Kill a search, resume it, and look at it; None if it was over before it was hit.

        Args:
            folder: Made for it.
            again: Whether it is killed a second time, while it is resumed.
        """
        folder.mkdir()
        disk = Disk(folder, folder.with_suffix(".shadow"), self.library)
        search, done = Search(folder, self.plan, disk), []
        if (hit := self._hit(search)) is None:
            search.end()
            return None
        done.append(hit)
        ended_before = ended_trials(folder) if hit.victim in STOPPING else {}
        findings, code, resumes = Findings(), search.end(), 0
        while code != 0 and resumes < 6:
            if code is None:
                findings.lost.append(f"hung after the kill of its {done[-1]}")
            search.resume()
            if again and len(done) == 1 and (hit := self._hit(search)) is not None:
                done.append(hit)
                if hit.victim in STOPPING:
                    ended_before = ended_trials(folder)
            code, resumes = search.end(), resumes + 1
        if code != 0:
            findings.lost.append(f"did not end, by {resumes} resumes")
        findings.add(leftovers(search))
        findings.add(look(folder, self.plan.expected, ended_before))
        return Kill(tuple(map(str, done)), resumes, findings, search.output.read_text())

    def _hit(self, search: Search) -> Hit | None:
        """Kill somebody at a random moment; None if the search is over before that."""
        victim, moment = self.draw.choice(self.victims), self.draw.uniform(0.5, self.seconds)
        deadline = time.monotonic() + moment
        while search.process.poll() is None:
            if time.monotonic() >= deadline and search.kill(victim, self.draw):
                return Hit(victim, moment)
            time.sleep(0.05)
        return None


def duration(folder: Path, plan: Plan) -> float:
    """Seconds of a search that nobody kills."""
    folder.mkdir()
    start = time.monotonic()
    search = Search(folder, plan, Disk(folder, folder.with_suffix(".shadow"), None))
    assert search.end() == 0, search.output.read_text()
    return time.monotonic() - start


def main() -> None:
    """Kill as often as asked, and print what was found, last as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, help="that a search takes; else it is measured")
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=VICTIMS)
    parser.add_argument("--quick", action="store_true", help="four kills of a smaller search")
    given = parser.parse_args()
    kills, plan = (4, Plan(5, 2)) if given.quick else (given.kills, Plan())
    prepare_environment()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        home, library = Path(name), compile_library(Path(name))
        victims = tuple(each for each in given.victims if library or each != "power")
        seconds = given.seconds or duration(home / "whole", plan)
        print(f"a search takes {seconds:.0f} s; victims: {', '.join(victims)}", flush=True)
        killer = Killer(plan, seconds, victims, library, random.Random(given.seed))
        counts = _kill(killer, home, kills)
    print(json.dumps({"kills": kills, **counts}))


def _kill(killer: Killer, home: Path, kills: int) -> dict[str, int]:
    found, missed, counts = Findings(), 0, {"of_resumes": 0, "resumed": 0}
    for number in range(kills):
        tries = (
            killer.one(home / f"{number}-{attempt}", again=number % 2 == 1)
            for attempt in range(TRIES)
        )
        for kill in tries:
            if kill is not None:
                break
            missed += 1
        else:
            sys.exit(
                f"none of {TRIES} searches was hit: --seconds {killer.seconds:.0f} is too long"
            )
        wrong = kill.findings.lost + kill.findings.doubled + kill.findings.left_running
        verdict = "; ".join(wrong) or "nothing lost"
        what = ", then ".join(kill.victims)
        print(f"{number + 1:3d} {what:24s} {kill.resumes} resumes: {verdict}", flush=True)
        if wrong:
            print(kill.output, flush=True)
        found.add(kill.findings)
        counts["of_resumes"] += len(kill.victims) - 1
        counts["resumed"] += kill.resumes
    return {**counts, "missed": missed, **{kind: len(words) for kind, words in vars(found).items()}}


if __name__ == "__main__":
    main()
