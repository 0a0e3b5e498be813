"""A search that is killed, with all the processes that it starts."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from killing.power import Disk

REPOSITORY = Path(__file__).parents[2]
NAME = "victim"
VICTIMS = ("driver", "worker", "raylet", "gcs_server", "group", "power")
"""What is killed: a process of that kind, all processes, or all with what they had not synced."""
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
            *("confirm.top_k=1", "confirm.seeds=2", "confirm.folds=0"),
        )

    @property
    def expected(self) -> set[str]:
        """Names of its runs, but for its own."""
        trials = {f"trial-{number:03d}" for number in range(self.trials)}
        return trials | {"confirm-000", "confirm-001"}


class Search:
    """A search in a folder, as a user runs it, with all the processes that it starts."""

    def __init__(self, folder: Path, plan: Plan, disk: Disk) -> None:
        self.folder, self._plan, self._disk = folder, plan, disk
        self.output = folder.with_suffix(".txt")  # beside it, for that is lost with the power
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
            **self._disk.environment,
        }
        with self.output.open("ab") as output:
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
        """Kill a victim; returns whether there was one, while the search was running."""
        everyone = self.processes()
        if self.process.poll() is not None:
            return False
        chosen = [process for process in everyone if _is(process, victim, self.process.pid)]
        if victim not in {"group", "power"}:
            chosen = chosen and [draw.choice(chosen)]
        for process in chosen:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if victim == "power":
            self._lose_power()
        return bool(chosen)

    def _lose_power(self) -> None:
        """All processes die, and what they had not synced is gone."""
        while left := self.processes():  # what was started meanwhile dies too
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.05)  # not psutil's waiting, which would take the exit code from Popen
        self.process.wait()
        self._disk.lose_power()

    def end(self) -> int | None:
        """Wait for its end; returns its exit code, or None if it had to be ended by force."""
        try:
            return self.process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return None


def _is(process: psutil.Process, victim: str, driver: int) -> bool:
    with suppress(psutil.Error):
        if victim in {"group", "power"}:
            return True
        if victim == "driver":
            return process.pid == driver
        if victim == "worker":
            return "Trainable" in process.cmdline()[0]  # as Ray names it
        return process.name().startswith(victim)
    return False
