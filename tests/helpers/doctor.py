"""What the doctor finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

from tests.helpers.commands import user_environment
from tests.helpers.doors import invoke
from tests.helpers.processes import run
from tune.base.finding import Finding


def examine(folder: Path, *words: str, **variables: str) -> tuple[int, dict[str, Finding]]:
    """What the command finds in a folder, by name, and its exit code.

    It runs in this process, or in one of its own where it is to import other packages.
    """
    if "PYTHONPATH" in variables:
        environment = {**user_environment(), **variables}
        script = [sys.executable, "-m", "tune.doctor", "--json", *words]
        done = run(script, cwd=folder, env=environment)
    else:
        with patch.dict(os.environ, variables):
            done = invoke("tune.doctor", "--json", *words, cwd=folder)
    assert done.stderr == ""
    found = [Finding(**each) for each in json.loads(done.stdout)]
    assert all(each.fix for each in found if each.state != "ok")
    return done.returncode, {each.name: each for each in found}


def check(module: str, function: str, before: tuple[str, ...] = (), **variables: str) -> Finding:
    """What one check finds, in a process and with variables of its own."""
    code = (
        f"import dataclasses, json; from tune.checks.{module} import {function} as check;"
        "print(json.dumps(dataclasses.asdict(check())))"
    )
    done = subprocess.run(
        [*before, sys.executable, "-P", "-c", code],  # a build leaves metadata in the checkout
        env={**user_environment(), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return Finding(**json.loads(done.stdout))
