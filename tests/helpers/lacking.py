"""What a machine lacks for a test."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """Skip a test for what this machine lacks.

    In CI it fails: a run without such a test must not pass for one that had it.
    """
    if os.environ.get("CI"):
        pytest.fail(f"{what}; a run of CI needs it", pytrace=False)
    pytest.skip(what)
