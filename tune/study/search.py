"""A search as it was started: all that going on with it needs to know."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, model_validator

from trainable.config import Config, with_recorded_rule
from tune.config.points import FirstPoint
from tune.config.schema import SearchConfig

HOME: Final = Path("mlruns")
"""Where studies and checkpoints are kept, beside MLflow's artifacts."""

DATABASE: Final = "optuna.db"
"""Of the studies, in that folder, where no other storage is given."""

OWN_STUDY: Final = f"sqlite:///{HOME / DATABASE}"
"""The URL of the studies' storage, where no other is given."""

Kind = Literal["trial", "confirm", "refit"]
"""A trial, a finalist's run under another seed or on a fold, or the winner's on all images."""


def run_name(kind: str, number: int) -> str:
    """The name of a trial's run in MLflow, and of its folder: `confirm-001`."""
    return f"{kind}-{number:03d}"


class Search(Config):
    """A search, with weights and all else decided."""

    name: str
    """Its name, which its study and its run in MLflow have too."""

    config: SearchConfig
    """What it searches, and how."""

    data_fingerprint: str
    """The hash of the images and of how they are split."""

    weights_hash: str | None
    """The hash of the first weights, for each architecture; None where they are random."""

    classes_hash: str = ""
    """The hash of the names of the classes; empty where a search is older than it."""

    duplicates: str = ""
    """What was found of duplicates among the images, in words."""

    sizes: dict[str, int] = Field(default_factory=dict)
    """The numbers of the images of each split, and of the classes; empty where a search is older
    than it."""

    facts: dict[str, str | int | float] = Field(default_factory=dict)
    """What was known of the data before the first trial, where a portfolio was chosen by it."""

    points: tuple[FirstPoint, ...] | None = None
    """What is tried first of a portfolio, chosen by these facts once for all; None without one."""

    costs: dict[str, float] = Field(default_factory=dict)
    """What each network costs that a trial may have, by its name, as it was before the first
    trial; empty where no cost counts."""

    identity: str = Field(default_factory=lambda: uuid.uuid4().hex)
    """Unlike the name, unique everywhere."""

    concluded: bool = False
    """Whether there is nothing left to do, or no time left to do it in."""

    cut_short: bool = False
    """Whether its time was up before it had done all that it was asked for."""

    reached_target: bool = False
    """Whether it has ended because a trial reached its target."""

    @model_validator(mode="before")
    @classmethod
    def _split_as_then(cls, given: Any) -> Any:
        """A search that was recorded without a key is older than it, and did without."""
        if isinstance(given, dict) and isinstance(given.get("config"), dict):
            config = with_recorded_rule(given["config"])
            confirm = config.get("confirm", {})
            if isinstance(confirm, dict):
                config = {**config, "confirm": {"folds": 0, **confirm}}
            resources = config.get("resources", {})
            if isinstance(resources, dict):
                config = {**config, "resources": {"cpu_precision": "flags", **resources}}
            return {**given, "config": {"refit": {"enabled": False}, **config}}
        return given
