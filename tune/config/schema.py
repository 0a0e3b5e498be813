"""What a search is: the trial it starts from, the space around it, and its means."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from trainable.config import BUNDLED_ARCH, Config, TrialConfig
from trainable.runtime import Runtime
from tune.config.registries import SAMPLERS, SCHEDULERS
from tune.config.space import Choices, Range, Values, flatten, flatten_space

NAME_RULE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""What experiments and searches may be called: safe in a path, a URL and a table."""

_UNITS = {"h": 3600, "m": 60, "s": 1}


def parse_duration(value: Any) -> Any:
    """Seconds of a duration such as `90s`, `30m` or `1h30m`; numbers are seconds.

    Raises:
        ValueError: It is none of these.
    """
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"(\d+[hms])+|\d+(\.\d+)?", value):
        raise ValueError("a duration is written 90s, 30m or 1h30m")
    if value[-1].isdigit():
        return float(value)
    return sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+)([hms])", value))


def _flat(point: Any) -> Any:
    return flatten(point) if isinstance(point, Mapping) else point


class SamplerConfig(Config):
    """How Optuna proposes trials."""

    name: Annotated[str, AfterValidator(SAMPLERS.check)] = "tpe"
    """`tpe` is the Tree-structured Parzen Estimator (Bergstra et al. 2011) key by key,
    `joint_tpe` the same over all keys together, `gp` a Gaussian process, `random` none."""

    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    """Of the proposals."""

    startup_trials: int = Field(default=6, ge=1)
    """Random proposals before `tpe` has enough to go by."""

    points: tuple[Annotated[dict[str, Any], BeforeValidator(_flat)], ...] = ()
    """What is tried first, each as values of searched keys (those it leaves out are
    proposed). By default the values that the trial has outside the space."""


class SchedulerConfig(Config):
    """Who is stopped early."""

    name: Annotated[str, AfterValidator(SCHEDULERS.check)] = "asha"
    """`asha` is asynchronous successive halving (Li et al. 2020). `halving` pauses all trials
    at a rung and lets the best go on (Jamieson & Talwalkar 2016), `median` stops what is below
    the median, `fifo` nothing."""

    grace_epochs: int = Field(default=1, ge=1)
    """Epochs that every trial gets."""

    reduction_factor: float = Field(default=3, gt=1)
    """At each rung the best one in so many goes on, to so many times the epochs."""


class BudgetConfig(Config):
    """How much is tried."""

    num_samples: int = Field(default=20, ge=1, le=100_000)
    """Trials."""

    time: Annotated[float, BeforeValidator(parse_duration)] | None = Field(default=None, gt=0)
    """Start no trial and end all after so long (`90s`, `30m`, `1h30m`)."""

    max_failures: int = Field(default=2, ge=0)
    """How often a trial goes on from its last checkpoint after its worker died."""


class ResourcesConfig(Config):
    """What a trial occupies."""

    cpu: float = Field(default=1, gt=0)
    """CPUs a trial; its threads are the whole number below, at least one."""

    gpu: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"
    """GPUs a trial: a fraction shares one between trials and caps each one's memory.
    `auto` shares the GPUs there are between as many trials as the CPUs feed and the memory
    holds, measured on the heaviest of the space; eight to a GPU at most."""

    max_concurrent: int | None = Field(default=None, ge=1)
    """Trials at once, where the machine would hold more."""

    @field_validator("gpu", mode="before")
    @classmethod
    def _fraction_or_whole(cls, gpu: Any) -> Any:
        if gpu == "auto":
            return gpu
        if isinstance(gpu, bool) or not isinstance(gpu, int | float):
            raise ValueError("must be a number of GPUs, such as 0.25, or auto")
        if gpu > 1 and gpu != int(gpu):
            raise ValueError("above 1 it must be a whole number of GPUs")
        return gpu

    @property
    def threads(self) -> int:
        """CPU threads of a trial."""
        return max(1, int(self.cpu))


class ConfirmConfig(Config):
    """How the best trials are tried again, since the best of many scores is partly luck."""

    top_k: int = Field(default=0, ge=0)
    """Of so many of the best trials; 0 takes the best one by its single score."""

    seeds: int = Field(default=2, ge=1, le=100)
    """Under so many other seeds each. The winner has the best mean validation accuracy."""

    soup: bool = True
    """Whether the average of all these runs' weights is a candidate too (Wortsman et al.
    2022)."""


class CacheConfig(Config):
    """What a node keeps of the frozen layers' outputs, so that no trial computes them twice."""

    enabled: bool | Literal["auto"] = "auto"
    """Off changes no metric, only the time. `auto` is on but for trials on a GPU, which compute
    it again in less time than it takes to be read."""

    root: Path | None = None
    """Folder; by default `TUNE_CACHE`, else one in the user's cache on each node."""

    max_gb: float = Field(default=20, gt=0)
    """Above this, what was used longest ago is deleted."""

    def max_bytes(self, *, on_gpu: bool) -> int:
        """`max_gb` in bytes; 0 where the cache is off, for trials on a GPU or not."""
        enabled = not on_gpu if self.enabled == "auto" else self.enabled
        return int(self.max_gb * 10**9) if enabled else 0


class TrackingConfig(Config):
    """Where the record is kept."""

    uri: str | None = None
    """MLflow's; by default what MLflow itself takes: `MLFLOW_TRACKING_URI`, else
    `mlflow.db` here."""

    study: str | None = None
    """URL of Optuna's storage; by default `mlruns/optuna.db` here."""

    patience: Annotated[float, BeforeValidator(parse_duration)] = Field(default=60, ge=0)
    """How long the end of a search waits for an MLflow that is away (`90s`, `5m`)."""


class RegistryConfig(Config):
    """What becomes of the best checkpoint."""

    register_best: bool = True
    """Register it as a version of `<model.arch>-<name>`, or of `resnet-<name>` where
    `model.arch` is searched."""

    promote: Literal["better", "not-worse", "always", "never"] = "not-worse"
    """Whether it becomes the `champion`, by the test images that both have seen: if it is
    significantly `better`, unless it is significantly worse (`not-worse`), `always`, `never`."""

    alpha: float = Field(default=0.05, gt=0, lt=1)
    """Below it, a p-value is significant."""


class SearchConfig(TrialConfig):
    """A search. The keys of the trial stand beside it, as what it starts from."""

    name: str = Field(default="default", pattern=NAME_RULE)
    """Name of the MLflow experiment, and of the registered model after `resnet18-` or
    whatever its architecture is."""

    space: Annotated[dict[str, Values], BeforeValidator(flatten_space)] = Field(
        default_factory=dict
    )
    """What is searched: for each key of the trial, `{low, high, log, step}` or a list."""

    sampler: SamplerConfig = SamplerConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    budget: BudgetConfig = BudgetConfig()
    resources: ResourcesConfig = ResourcesConfig()
    confirm: ConfirmConfig = ConfirmConfig()
    cache: CacheConfig = CacheConfig()
    tracking: TrackingConfig = TrackingConfig()
    registry: RegistryConfig = RegistryConfig()

    @property
    def base(self) -> TrialConfig:
        """The trial the search starts from."""
        return TrialConfig(**{name: getattr(self, name) for name in TrialConfig.model_fields})

    @property
    def archs(self) -> tuple[str, ...]:
        """Architectures that a trial may have."""
        searched = self.space.get("model.arch")
        if isinstance(searched, Choices):
            return tuple(str(choice) for choice in searched.choices)
        return (self.model.arch,)

    @property
    def model_name(self) -> str:
        """Name of the registered model, which is known before it is known which trial wins."""
        return f"{self.archs[0] if len(self.archs) == 1 else 'resnet'}-{self.name}"

    def trial(self, values: Mapping[str, Any]) -> TrialConfig:
        """The base with some keys set, such as `{"optim.lr": 1e-3}`.

        Raises:
            ValidationError: A value breaks its key's rule.
        """
        tree = self.base.model_dump()
        for key, value in values.items():
            part, _, field = key.partition(".")
            tree[part][field] = value
        return TrialConfig.model_validate(tree)

    def runtime(self, memory_fraction: float | None = None) -> Runtime:
        """What a trial runs on.

        Args:
            memory_fraction: The share of a GPU's memory that it may take; None is all.
        """
        root = self.cache.root
        return Runtime(
            threads=self.resources.threads,
            memory_fraction=memory_fraction,
            use_gpu=self.resources.gpu != 0,
            cache_root=None if root is None else str(root.resolve()),
            cache_bytes=self.cache.max_bytes(on_gpu=False),
            gpu_cache_bytes=self.cache.max_bytes(on_gpu=True),
        )

    @model_validator(mode="after")
    def _space_makes_trials(self) -> Self:
        for key, values in self.space.items():
            if key not in TRIAL_KEYS:
                near = difflib.get_close_matches(key, TRIAL_KEYS, 1, cutoff=0.5)
                hint = f"; nearest: space.{near[0]}" if near else ""
                raise ValueError(f"space.{key}: no such key of a trial{hint}")
            if key.startswith("objective."):
                raise ValueError(f"space.{key}: trials of different objectives cannot be compared")
            for value in _extremes(key, values):
                self._check_value(key, value)
        return self

    @model_validator(mode="after")
    def _bundled_fits_every_arch(self) -> Self:
        searched = self.space.get("model.weights")
        if isinstance(searched, Choices) and "bundled" in searched.choices:
            other = next((arch for arch in self.archs if arch != BUNDLED_ARCH), None)
            if other is not None:
                raise ValueError(
                    f"space.model.weights holds bundled, a {BUNDLED_ARCH}, and space.model.arch "
                    f"{other}: leave one out"
                )
        return self

    @model_validator(mode="after")
    def _space_holds_points(self) -> Self:
        for number, point in enumerate(self.sampler.points):
            for key, value in point.items():
                if key not in self.space:
                    raise ValueError(f"sampler.points.{number}: {key} is not in the space")
                if not self.space[key].holds(value):
                    raise ValueError(f"sampler.points.{number}: space.{key} does not hold {value}")
        return self

    def _check_value(self, key: str, value: Any) -> None:
        try:
            self.trial({key: value})
        except ValidationError as error:
            rule = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(f"space.{key} holds {value}: {rule}") from error


def is_whole(key: str) -> bool:
    """Whether a trial's key takes whole numbers only."""
    return TRIAL_KEYS[key] in (int, int | None)


def _extremes(key: str, values: Range | Choices) -> list[Any]:
    """Values which, if they are valid, make all of the space's valid."""
    if isinstance(values, Choices):
        return list(values.choices)
    ends = [values.low, values.high]
    if values.step is not None:
        ends.append(values.low + values.step)
    elif not is_whole(key):  # between false and true, a range holds what is neither
        ends.append(values.low / 2 + values.high / 2)
    return [int(end) if end == int(end) and is_whole(key) else end for end in ends]


def keys_of(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Every dotted key of a config, with its type."""
    keys: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys |= keys_of(kind, f"{prefix}{name}.")
        else:
            keys[prefix + name] = kind
    return keys


TRIAL_KEYS = keys_of(TrialConfig)
"""Every dotted key of a trial, with its type."""
