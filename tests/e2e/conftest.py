"""A search that was killed, which the tests of resuming and of the doctor look at."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.helpers.commands import run_module, running_module
from tests.helpers.doctor import examine
from tests.helpers.doors import invoke
from tests.helpers.processes import assert_gone, kill_family, wait_until, workers
from tests.helpers.searches import ALONE, copied, epochs_in, statuses, trials_in
from tests.helpers.sharing import made_once
from tests.helpers.wheels import Installed, install_wheel


@pytest.fixture(scope="session")
def killed_search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the search of `finished_search` was killed after its first trial; to be copied.

    What was found while it was running lies in `alive.json`.
    """
    return made_once(tmp_path_factory, "killed", kill_search)


@pytest.fixture(scope="session")
def mended_search(killed_search: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The killed search, whose runs the doctor has closed, and which was then resumed.

    What the doctor found lies in `doctor.json`; `output.txt` has what the resume printed.
    """
    return made_once(tmp_path_factory, "mended", lambda folder: mend_search(killed_search, folder))


def mend_search(killed: Path, folder: Path) -> None:
    """Let the doctor close the runs of a copy of the search, and go on with it."""
    copied(killed, folder)
    found = {}
    for name, words in (("killed", ()), ("fixed", ("--fix",)), ("after", ())):
        code, findings = examine(folder, *words)
        found[name] = [code, asdict(findings["search first"]), statuses(folder)]
    done = run_module("tune.search", "--resume", "first", cwd=folder)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    (folder / "output.txt").write_text(done.stdout)
    code, findings = examine(folder)
    found["finished"] = [code, asdict(findings["search first"]), statuses(folder)]
    (folder / "doctor.json").write_text(json.dumps(found))


def kill_search(folder: Path) -> None:
    """Start a search and kill it after its first trial, with all that it had started."""

    def is_recorded() -> bool:
        trials = trials_in(folder)
        return trials[-1].state is TrialState.RUNNING and len(statuses(folder)) == len(trials) + 1

    words = (*ALONE, "--num-samples=5", "--name=first")
    with running_module("tune.search", *words, cwd=folder) as search:
        wait_until(lambda: epochs_in(folder) >= 4, by=search)
        suspend_in_a_trial(search.pid, is_recorded)
        resumed = invoke("tune.search", "--resume", "first", cwd=folder)
        _, found = examine(folder, "--fix")
        alive = {
            "doctor": asdict(found["search first"]),
            "statuses": statuses(folder),
            "resume": [resumed.returncode, resumed.stdout, resumed.stderr],
        }
        assert_gone(kill_family(search.pid))
    (folder / "alive.json").write_text(json.dumps(alive))


def suspend_in_a_trial(pid: int, is_recorded: Callable[[], bool]) -> None:
    """Stop a search's workers within a trial, and not between two, so that none ends meanwhile."""
    for _ in range(60):
        stopped = workers(pid)
        for process in stopped:
            process.suspend()
        with suppress(AssertionError):
            wait_until(is_recorded, seconds=3)
            return
        for process in stopped:
            process.resume()
        time.sleep(0.3)
    pytest.fail("the search was never within a trial that is recorded")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in a new environment; for slow tests, as it takes a quarter of a minute."""
    return install_wheel(tmp_path_factory.mktemp("wheel"))
