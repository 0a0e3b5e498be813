"""Starting beside Ray, in workers that have loaded PyTorch by then, and leaving at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TRIALS = """
import sys
from tune.base.environment import prepare_environment
from tune.engine.startup import import_beside_ray, leave

class Trial:
    def setup(self, config):
        self.ready = "trainable.preload" in sys.modules

    def step(self):
        return {"ready": self.ready, "done": True}

if __name__ == "__main__":
    prepare_environment()
    assert import_beside_ray("tune.engine.runner") is sys.modules["tune.engine.runner"]
    from ray import tune
    trainable = type("Ready", (Trial, tune.Trainable), {})
    run_config = tune.RunConfig(storage_path=sys.argv[1], verbose=0)
    results = tune.Tuner(trainable, run_config=run_config).fit()
    print("ready:", [result.metrics["ready"] for result in results])
    leave(7, clean=lambda: print("clean"))
"""


@pytest.mark.nightly
def test_a_trial_starts_in_a_worker_that_has_loaded_pytorch(tmp_path: Path) -> None:
    script = tmp_path / "trials.py"
    script.write_text(TRIALS)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "ray")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "clean", done.stderr
    assert done.stdout.splitlines()[-2] == "ready: [True]"
    assert done.returncode == 7


def test_leaving_writes_what_was_printed() -> None:
    program = "from tune.engine.startup import leave; print('x' * 100_000); leave(3, int)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 3
    assert done.stdout == b"x" * 100_000 + b"\n"
