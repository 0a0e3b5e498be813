"""`python -m tune.keys`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.helpers.commands import REPOSITORY
from tests.helpers.doors import invoke


def test_a_key_is_printed_with_what_it_takes_and_means(tmp_path: Path) -> None:
    done = invoke("tune.keys", "label_smoothing", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.replace("\nsearched", " searched") == (
        "optim.label_smoothing  number, at least 0 and below 1; default 0.0; can be searched\n"
        "    Share of each target spread evenly over the classes (Szegedy et al. 2016).\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_all_keys_are_printed_without_a_pattern(tmp_path: Path) -> None:
    names = [
        line.split()[0]
        for line in invoke("tune.keys", cwd=tmp_path).stdout.splitlines()
        if line[0] != " "
    ]
    assert {"optim.lr", "space", "registry.alpha", "space.KEY.low"} <= {*names}


def test_a_pattern_that_fits_nothing_is_a_mistake_with_the_nearest_key(tmp_path: Path) -> None:
    done = invoke("tune.keys", "optim.momentom", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("tune.keys: optim.momentom: no key fits; nearest: optim.")


def test_it_loads_nothing_slow() -> None:
    code = (
        "import sys; from tune.keys import app; app(['lr'], standalone_mode=False); "
        "print([name for name in ('torch', 'ray', 'mlflow', 'optuna') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert done.stdout.splitlines()[-1] == "[]"
