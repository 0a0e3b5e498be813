"""Real searches, killed at random moments and resumed: is anything lost, doubled, left running?

    python benchmarks/kills.py --kills 50 --seed 0     # about 45 minutes
    python benchmarks/kills.py --quick

Each kill has a search of its own: 12 trials on the digits, two at once, then the best one again
under two other seeds, in an empty folder with MLflow's and Optuna's own databases. At a random
moment, from its first second to its last, a random victim gets SIGKILL: the search's own process, a
trial's worker, one of Ray's processes, or all of them. The search is resumed until it ends, and
then looked at from outside:

- lost: trials that are missing, have no end or lack an epoch, and searches that did not end, did
  not register a model, or left a process behind;
- doubled: trials, runs, epochs or models that are there twice, and trials that had ended before the
  kill and were run again;
- left running: trials or runs that are still said to be running.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import psutil
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState

REPOSITORY = Path(__file__).parents[1]
NAME = "victim"
VICTIMS = ("driver", "worker", "raylet", "gcs_server", "group")
METRICS = ("train_loss", "train_acc", "val_loss", "val_acc", "epoch_seconds")
WAIT_SECONDS = 300.0
MARK = "KILLS_MARK"


@dataclass(frozen=True)
class Plan:
    """The search that is killed: so many trials, of which the best runs again under two seeds."""

    trials: int = 12
    epochs: int = 4

    @property
    def words(self) -> tuple[str, ...]:
        """Of the command."""
        return (
            *("--config", str(REPOSITORY / "configs" / "digits.yaml")),
            *("--num-samples", str(self.trials), "--name", NAME),
            *("data.image_size=16", "data.limit=300", "model.weights=random"),
            *(f"train.epochs={self.epochs}", "train.batch_size=64"),
            *("confirm.top_k=1", "confirm.seeds=2"),
        )

    @property
    def expected(self) -> set[str]:
        """Names of its runs, but for its own."""
        trials = {f"trial-{number:03d}" for number in range(self.trials)}
        return trials | {"confirm-000", "confirm-001"}


@dataclass
class Findings:
    """What was wrong, in words, by kind."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    left_running: list[str] = field(default_factory=list)

    def add(self, other: Findings) -> None:
        """Take another's over."""
        self.lost += other.lost
        self.doubled += other.doubled
        self.left_running += other.left_running


class Search:
    """A search in a folder, as a user runs it, with all the processes that it starts."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self._plan = folder, plan
        self.mark = uuid.uuid4().hex
        self.process = self._start(plan.words)

    def resume(self) -> None:
        """Go on with it, as it told its user; from the start where it had not begun."""
        begun = (self.folder / "mlruns" / "searches" / NAME / "search.json").exists()
        self.process = self._start(("--resume", NAME) if begun else self._plan.words)

    def _start(self, words: tuple[str, ...]) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "TUNE_CACHE": str(self.folder / "cache"),
            MARK: self.mark,
        }
        with (self.folder / "output.txt").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "tune.search", *words],
                cwd=self.folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def processes(self) -> list[psutil.Process]:
        """All that run for it, wherever they hang by now."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark:
                    found.append(process)
        return found

    def kill(self, victim: str, draw: random.Random) -> bool:
        """Kill a victim; returns whether there was one."""
        everyone = self.processes()
        chosen = [process for process in everyone if _is(process, victim, self.process.pid)]
        if victim != "group":
            chosen = chosen and [draw.choice(chosen)]
        for process in chosen:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return bool(chosen)

    def end(self) -> int | None:
        """Wait for its end; returns its exit code, or None if it had to be ended by force."""
        try:
            return self.process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return None


def _is(process: psutil.Process, victim: str, driver: int) -> bool:
    with suppress(psutil.Error):
        if victim == "group":
            return True
        if victim == "driver":
            return process.pid == driver
        if victim == "worker":
            return "Trainable" in process.cmdline()[0]  # as Ray names it
        return process.name().startswith(victim)
    return False


def one_kill(
    folder: Path, plan: Plan, draw: random.Random, seconds: float
) -> tuple[str, int, Findings]:
    """Kill one search, resume it, and look at it. Returns what was done and how many resumes."""
    search = Search(folder, plan)
    victim, moment = draw.choice(VICTIMS), draw.uniform(0.5, seconds)
    time.sleep(moment)
    while search.process.poll() is None and not search.kill(victim, draw):
        time.sleep(0.05)  # it has none of these yet
    ended_before = ended_trials(folder) if victim in {"driver", "group"} else {}
    findings, code, resumes = Findings(), search.end(), 0
    while code != 0 and resumes < 5:
        if code is None:
            findings.lost.append(f"hung after its {victim} was killed")
        search.resume()
        code, resumes = search.end(), resumes + 1
    if code != 0:
        findings.lost.append(f"did not end, by {resumes} resumes")
    findings.add(leftovers(search))
    findings.add(look(folder, plan.expected, ended_before))
    return f"{victim} after {moment:.1f} s", resumes, findings


def leftovers(search: Search) -> Findings:
    """Processes that outlive it by more than a few seconds."""
    deadline = time.monotonic() + 15
    while (left := search.processes()) and time.monotonic() < deadline:
        time.sleep(0.2)
    for process in left:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
    return Findings(lost=[f"left a process behind: {process.name()}" for process in left])


def ended_trials(folder: Path) -> dict[str, Any]:
    """When each trial ended that has, as the storage says."""
    return {n: t.datetime_complete for n, t in stored(folder).items() if t.state.is_finished()}


def stored(folder: Path) -> dict[str, FrozenTrial]:
    """Optuna's trials by the names of their runs, but for those that only wait."""
    path, found = folder / "mlruns" / "optuna.db", dict[str, FrozenTrial]()
    for kind, name in {"trial": NAME, "confirm": f"{NAME}/confirm"}.items():
        if path.exists():
            with suppress(KeyError):
                study = optuna.load_study(study_name=name, storage=f"sqlite:///{path}")
                for trial in study.trials:
                    if trial.state is not TrialState.WAITING:
                        found[f"{kind}-{trial.number:03d}"] = trial
    return found


def look(folder: Path, expected: set[str], ended_before: dict[str, Any]) -> Findings:
    """Whether study, record and registry are as they must be after the end."""
    findings, trials = Findings(), stored(folder)
    _look_at_study(trials, expected, ended_before, findings)
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    _look_at_record(client, trials, expected, findings)
    _look_at_registry(client, findings)
    return findings


def _look_at_study(
    trials: dict[str, FrozenTrial],
    expected: set[str],
    ended_before: dict[str, Any],
    findings: Findings,
) -> None:
    findings.lost += expected - trials.keys()
    findings.doubled += trials.keys() - expected
    for name, trial in trials.items():
        if not trial.state.is_finished():
            findings.left_running.append(name)
        if trial.state is TrialState.FAIL:
            findings.lost.append(f"{name} failed: {trial.user_attrs.get('error')}")
        if ended_before.get(name, trial.datetime_complete) != trial.datetime_complete:
            findings.doubled.append(f"{name} was run again")


def _look_at_record(
    client: MlflowClient, trials: dict[str, FrozenTrial], expected: set[str], findings: Findings
) -> None:
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=1000)
    names = Counter(run.info.run_name for run in runs)
    findings.lost += [f"run {name}" for name in {NAME, *expected} - names.keys()]
    findings.doubled += [f"run {name}" for name, count in names.items() if count > 1]
    for run in runs:
        if run.info.status == "RUNNING":
            findings.left_running.append(f"run {run.info.run_name}")
        if run.info.run_name in trials:
            values = trials[run.info.run_name].intermediate_values
            _look_at_epochs(client, run, values, findings)


def _look_at_epochs(
    client: MlflowClient, run: Run, values: dict[int, float], findings: Findings
) -> None:
    for name in METRICS:
        history = client.get_metric_history(run.info.run_id, name)
        steps = [metric.step for metric in history]
        what = f"{run.info.run_name}: an epoch of {name}: {steps}"
        if len(set(steps)) < len(steps):
            findings.doubled.append(what)
        if sorted(set(steps)) != list(range(1, len(values) + 1)) or not steps:
            findings.lost.append(what)
        if name == "val_acc" and {m.step: m.value for m in history} != values:
            findings.lost.append(f"{run.info.run_name}: {name} is not what the study has")


def _look_at_registry(client: MlflowClient, findings: Findings) -> None:
    versions = list(client.search_model_versions())
    experiments = [e.experiment_id for e in client.search_experiments()]
    logged = list(client.search_logged_models(experiments))
    for what, there in (("version", versions), ("logged model", logged)):
        if not there:
            findings.lost.append(f"the {what}")
        if len(there) > 1:
            findings.doubled.append(f"the {what}: {len(there)}")
    with suppress(Exception):
        client.get_model_version_by_alias(versions[0].name, "champion")
        return
    findings.lost.append("the champion")


def duration(folder: Path, plan: Plan) -> float:
    """Seconds of a search that nobody kills."""
    folder.mkdir()
    start = time.monotonic()
    search = Search(folder, plan)
    assert search.end() == 0, (folder / "output.txt").read_text()
    return time.monotonic() - start


def main() -> None:
    """Kill as often as asked, and print what was found, last as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, help="that a search takes; else it is measured")
    parser.add_argument("--quick", action="store_true", help="four kills of a smaller search")
    given = parser.parse_args()
    kills, plan = (4, Plan(5, 2)) if given.quick else (given.kills, Plan())
    draw, found, resumed = random.Random(given.seed), Findings(), 0
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        seconds = given.seconds or duration(Path(name) / "whole", plan)
        print(f"a search takes {seconds:.0f} s", flush=True)
        for number in range(kills):
            folder = Path(name) / str(number)
            folder.mkdir()
            what, resumes, findings = one_kill(folder, plan, draw, seconds)
            wrong = findings.lost + findings.doubled + findings.left_running
            verdict = "; ".join(wrong) or "nothing lost"
            print(f"{number + 1:3d} {what:24s} {resumes} resumes: {verdict}", flush=True)
            if wrong:
                print((folder / "output.txt").read_text(), flush=True)
            found.add(findings)
            resumed += resumes
    counts = {kind: len(words) for kind, words in vars(found).items()}
    print(json.dumps({"kills": kills, "resumed": resumed, **counts}))


if __name__ == "__main__":
    main()
