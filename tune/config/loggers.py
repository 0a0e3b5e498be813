"""Where else than in MLflow a search's epochs are shown, and what that needs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from tune.base.errors import ConfigError

Logger = Literal["tensorboard", "wandb"]
"""One of Ray's own."""

_PACKAGES: Final[dict[Logger, str]] = {"tensorboard": "tensorboardX", "wandb": "wandb"}
_NO_ACCOUNT: Final = {"offline", "disabled"}


def check_loggers(names: Sequence[Logger]) -> None:
    """Check that what a config asks for can be used, before anything slow is loaded.

    Raises:
        ConfigError: A package is missing, or the name of an account.
    """
    for name in names:
        package = _PACKAGES[name]
        if find_spec(package) is None:
            raise ConfigError(
                f"tracking.also={name}: the package {package} is not installed; pip install "
                f"{package}, or leave {name} out"
            )
    if "wandb" in names and not _knows_wandb():
        raise ConfigError(
            "tracking.also=wandb: no key of an account is known; run wandb login, or set "
            "WANDB_API_KEY, or WANDB_MODE=offline"
        )


def _knows_wandb() -> bool:
    """Whether wandb would not ask for a key, where nobody answers."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_MODE") in _NO_ACCOUNT:
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname
    files = [os.environ.get("NETRC"), Path.home() / ".netrc", Path.home() / "_netrc"]
    for file in filter(None, files):
        with suppress(OSError, NetrcParseError):
            if netrc(str(file)).authenticators(str(host)):
                return True
    return False
