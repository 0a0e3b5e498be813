"""How many examples hypothesis tries."""

from __future__ import annotations

import os


def examples(count: int) -> int:
    """So many where the slow tests run, and the first third of them where they do not."""
    return count if os.environ.get("TUNE_SLOW") else count // 3
