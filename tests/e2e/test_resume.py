"""Searches that are stopped in all ways, and go on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.helpers.commands import (
    DIGITS,
    SMALL,
    run_module,
    running_module,
    user_environment,
)
from tests.helpers.doors import invoke
from tests.helpers.lacking import lacking
from tests.helpers.processes import (
    assert_gone,
    family,
    listening,
    run,
    wait_until,
    workers,
)
from tests.helpers.searches import FinishedSearch, copied, epochs_in, histories, trials_in
from trainable.judging.metrics import EPOCH_METRICS as METRICS


@pytest.fixture(scope="module")
def resumed(mended_search: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedSearch:
    """The search of `finished_search`, which was killed and goes on."""
    return copied(mended_search, tmp_path_factory.mktemp("resumed"))


@pytest.mark.nightly
def test_a_search_that_is_running_is_not_resumed(killed_search: Path) -> None:
    code, output, errors = json.loads((killed_search / "alive.json").read_text())["resume"]
    assert (code, output) == (2, "")
    assert "another process is running it" in errors
    assert errors.count("\n") == 1


@pytest.mark.slow
def test_a_search_that_was_killed_ends_as_one_that_was_not(
    resumed: FinishedSearch, finished_search: FinishedSearch
) -> None:
    """Golden: at one trial at a time, the same trials with the same metrics, bit for bit."""
    found, whole = trials_in(resumed.folder), trials_in(finished_search.folder)
    assert len(found) == len(whole) == 5
    assert [(t.params, t.state, t.value, t.intermediate_values) for t in found] == [
        (t.params, t.state, t.value, t.intermediate_values) for t in whole
    ]
    for name in set(METRICS) - {"epoch_seconds"}:
        assert histories(resumed, name) == histories(finished_search, name)
    assert "resumed  with " in resumed.output


@pytest.mark.slow
def test_a_search_that_was_killed_registers_the_same_model_once(
    resumed: FinishedSearch, finished_search: FinishedSearch
) -> None:
    versions = [search.client.search_model_versions() for search in (resumed, finished_search)]
    assert [len(found) for found in versions] == [1, 1]
    assert versions[0][0].tags["test_acc"] == versions[1][0].tags["test_acc"]
    assert "Registered resnet18-digits version 1" in resumed.output
    (parent,) = resumed.runs("search")
    assert parent.info.status == "FINISHED"


def test_resuming_a_finished_search_says_so_and_changes_nothing(
    finished_search: FinishedSearch,
) -> None:
    def state() -> dict[Path, float]:
        files = [path for path in finished_search.folder.rglob("*") if path.is_file()]
        return {path: path.stat().st_mtime for path in files}

    before = state()
    done = invoke("tune.search", "--resume", "first", cwd=finished_search.folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "search first is finished, with 5 trials" in done.stdout
    assert state() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--resume", "frist"], "no such search; there is first"),
        (["--resume", "../first"], "letters, digits"),
        (["--resume", "first", "--num-samples", "3"], "the search has 5; give more"),
        (["--resume", "first", "--num-samples", "x"], "budget.num_samples=x"),
        (["--resume", "first", "train.epochs=5"], "only --num-samples, --time-budget, --target"),
        (
            ["--resume", "first", "--name", "second"],
            "only --num-samples, --time-budget, --target",
        ),
        (["--config", str(DIGITS), "--name", "first"], "resume it by --resume first"),
    ],
)
def test_a_mistake_in_a_resume_is_told_in_one_line(
    words: list[str], told: str, finished_search: FinishedSearch
) -> None:
    done = invoke("tune.search", *words, cwd=finished_search.folder)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


JUMPING = """
import random, runpy, sys, time
real, draw = time.time, random.Random(0)

def jumping():
    started = getattr(sys.modules.get("ray"), "is_initialized", bool)()
    return real() + (draw.choice((-86_400, 0, 86_400)) if started else 0)

time.time = jumping
runpy.run_module("tune.search", run_name="__main__")
"""
"""A search whose clock jumps once Ray has started, which itself waits by that clock till then."""


@pytest.mark.nightly
def test_a_finished_search_is_extended_also_by_a_clock_that_jumps_by_days(
    resumed: FinishedSearch,
) -> None:
    before = trials_in(resumed.folder)
    words = ("--resume", "first", "--num-samples=7", "--time-budget=10m")
    script = [sys.executable, "-c", JUMPING, *words]
    done = run(script, cwd=resumed.folder, env=user_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    after = trials_in(resumed.folder)
    assert after[:5] == before
    assert len(after) == 7
    assert all(trial.state.is_finished() for trial in after)
    assert len(resumed.runs("trial")) == 7
    assert "7/7 ended" in done.stdout
    for name in METRICS:
        for history in histories(resumed, name):
            assert [step for step, _ in history] == list(range(1, len(history) + 1))


@pytest.mark.nightly
def test_a_signal_ends_it_in_good_order(tmp_path: Path) -> None:
    two = (*SMALL, "resources.max_concurrent=null")
    words = ("--num-samples=2", "--name=first", *two, "train.epochs=60")
    with running_module("tune.search", "--config", str(DIGITS), *words, cwd=tmp_path) as search:
        wait_until(lambda: epochs_in(tmp_path) > 1, by=search)
        processes = family(search.pid)
        beyond = [address for address in listening(processes) if not address.is_loopback]
        assert beyond == []
        started = [" ".join(process.cmdline()) for process in processes]
        idle = ("dashboard/dashboard.py", "log_monitor.py", "autoscaler")
        assert [words for words in started if any(name in words for name in idle)] == []
        half = tmp_path / "mlruns" / "searches" / "first" / "trial-000"
        (half / "last.pt.99999999-0a1b2c3d.part").touch()  # as if it were killed while it writes
        start = time.monotonic()
        search.send_signal(signal.SIGINT)
        output, errors = search.communicate(timeout=30)
        assert time.monotonic() - start < 15
        assert search.returncode == 130
        assert_gone(processes)
    assert errors == (
        "tune.search: interrupted by SIGINT; go on with: python -m tune.search --resume first\n"
    )
    assert "resume   python -m tune.search --resume first" in output
    record = FinishedSearch(tmp_path, output)
    kinds = [run for kind in ("search", "trial") for run in record.runs(kind)]
    assert "RUNNING" not in {run.info.status for run in kinds}
    assert not list(tmp_path.rglob("*.pt.*"))


@pytest.mark.nightly
def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    words = ("--name=first", *SMALL, "train.epochs=60")
    with running_module("tune.search", "--config", str(DIGITS), *words, cwd=tmp_path) as search:
        wait_until(lambda: epochs_in(tmp_path) > 1, by=search)
        processes = family(search.pid)
        deadline = time.monotonic() + 30
        while search.poll() is None and time.monotonic() < deadline:
            # Again and again: two that come before the first is handled are one to a process.
            search.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        _, errors = search.communicate(timeout=30)
        assert search.returncode == 130
        assert "interrupted by" not in errors, "it took its time to close its records and say so"
        assert_gone(processes)


@pytest.mark.nightly
def test_a_trial_goes_on_after_its_worker_was_killed_but_not_for_ever(tmp_path: Path) -> None:
    words = ("--num-samples=1", "--name=first", *SMALL, "train.epochs=400", "budget.max_failures=1")
    with running_module("tune.search", "--config", str(DIGITS), *words, cwd=tmp_path) as search:
        for kills in (1, 2):
            more = epochs_in(tmp_path) + 3
            wait_until(lambda more=more: epochs_in(tmp_path) > more, by=search)
            assert search.poll() is None, kills
            for process in workers(search.pid):
                process.kill()
        output, errors = search.communicate(timeout=120)
    assert search.returncode == 1
    assert "its worker died: killed, or out of memory" in errors
    (trial,) = trials_in(tmp_path)
    assert trial.state is TrialState.FAIL
    epochs = list(trial.intermediate_values)
    assert epochs == list(range(1, len(epochs) + 1))
    (run,) = FinishedSearch(tmp_path, output).runs("trial")
    assert run.info.status == "FAILED"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a small disk, and give it another size later."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size: str) -> Path:
        remount = "remount," if folder.is_mount() else ""
        words = ["mount", "-t", "tmpfs", "-o", f"{remount}size={size}", "tmpfs", str(folder)]
        if subprocess.run(words, capture_output=True, check=False).returncode != 0:
            lacking("mounting a small disk needs root")
        return folder

    yield mount
    subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.mark.nightly
def test_a_full_disk_ends_it_clearly_and_with_space_made_it_goes_on(
    small_disk: Callable[[str], Path],
) -> None:
    folder = small_disk("100m")
    words = ("--num-samples=2", "--name=first", *SMALL, "model.unfreeze_depth=2")
    full = run_module("tune.search", "--config", str(DIGITS), *words, cwd=folder)
    assert full.returncode == 1, full.stdout + full.stderr
    assert "no space is left" in full.stderr
    assert "go on with: python -m tune.search --resume first" in full.stderr
    assert "Traceback" not in full.stdout + full.stderr
    small_disk("2g")
    done = run_module("tune.search", "--resume", "first", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    states = [trial.state for trial in trials_in(folder)]
    assert len(states) == 2
    assert set(states) <= {TrialState.COMPLETE, TrialState.PRUNED}
