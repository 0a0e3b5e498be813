"""The sections of a search's config: what surrounds the trial and its space."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, field_validator

from trainable.config import Config, Unit
from trainable.config.base import as_tuple
from trainable.runtime import ImageCache
from tune.config.durations import LONGEST, Duration
from tune.config.loggers import Logger
from tune.config.points import Point
from tune.config.registries import SAMPLERS, SCHEDULERS
from tune.config.space import flatten

_POINTS = "PortfolioPoints"


def _flat(point: Any) -> Any:
    return flatten(point) if isinstance(point, Mapping) else point


class SamplerConfig(Config):
    """How Optuna proposes trials."""

    name: Annotated[str, AfterValidator(SAMPLERS.check)] = "tpe"
    """`tpe` is the Tree-structured Parzen Estimator (Bergstra et al. 2011), key by key;
    `joint_tpe` is the same over all keys together, `gp` a Gaussian process, `random` uniform."""

    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    """The seed of the proposals."""

    startup_trials: Annotated[int, Unit("trials")] = Field(default=6, ge=1)
    """The trials that have ended, the first points among them, before the sampler models them; with
    `gp` those that have completed, which are few where a scheduler stops the others. What is
    proposed until then is random."""

    points: tuple[Annotated[dict[str, Any], BeforeValidator(_flat)], ...] = ()
    """The points tried first, each as values of searched keys (keys that are left out are
    proposed). By default one point: the values that the trial has outside the space."""


class StrategyConfig(Config):
    """What is tried first, and by what else than the objective a model is chosen."""

    portfolio: Annotated[
        Annotated[str, Tag("PortfolioName")]
        | Annotated[tuple[Point, ...], Field(min_length=1), Tag(_POINTS)],
        Discriminator(lambda value: "PortfolioName" if isinstance(value, str) else _POINTS),
    ] = "none"
    """Points that are tried first, after the config's own, as far as they suit the data: a file,
    the name of one in `configs/portfolios/`, a list of points, or `none`."""

    transfer: bool = True
    """Whether the best trials of earlier searches in the same storage of Optuna's are tried first
    too, after the config's own: those on the same images, or on images of the same classes, from
    the same weights. Not where `sampler.points` are given."""

    cost: Literal["none", "size", "seconds"] = "none"
    """What a model should have little of besides a good objective: `size`, the megabytes of its
    weights, or `seconds`, those that it takes for an image on this machine's CPU, measured before
    the first trial. Of models within `tolerance` of the best one, the cheapest is chosen."""

    tolerance: Annotated[float, Unit("of the objective")] = Field(default=0.01, ge=0)
    """How much of the objective, in its own units, may be given for a lower cost."""


class SchedulerConfig(Config):
    """How trials are stopped early."""

    name: Annotated[str, AfterValidator(SCHEDULERS.check)] = "asha"
    """`asha` is asynchronous successive halving (Li et al. 2020). `halving` pauses all trials
    at a rung and continues the best (Jamieson & Talwalkar 2016), `median` stops trials below the
    median, `fifo` stops none."""

    grace_epochs: Annotated[int, Unit("epochs")] = Field(default=1, ge=1)
    """The number of epochs that every trial runs."""

    reduction_factor: float = Field(default=3, gt=1)
    """At each rung, one trial in so many continues, for so many times the epochs."""


class BudgetConfig(Config):
    """When a search ends."""

    num_samples: Annotated[int, Unit("trials")] = Field(default=20, ge=1, le=100_000)
    """The number of trials."""

    time: Annotated[Duration | None, Field(gt=0, le=LONGEST)] = None
    """The time that the whole search may take, over all its runs (`90s`, `30m`, `1h30m`, `2d`):
    trials, confirmation, test and report. What does not fit any more is cut short or left out."""

    target: Annotated[float | None, Unit("of the objective")] = None
    """The value of the objective at which the search has found enough: a trial that reaches it goes
    on to its end, all others stop, and no more begin. Confirmation follows as ever."""

    max_failures: int = Field(default=2, ge=0)
    """How often a trial is resumed from its last checkpoint after its worker died."""


class ResourcesConfig(Config):
    """The resources of a trial."""

    cpu: Annotated[float, Unit("CPUs")] = Field(default=1, gt=0, le=100_000)
    """The CPUs of a trial; its threads are this number rounded down, at least one."""

    gpu: Annotated[float, Field(ge=0, le=10_000), Unit("GPUs")] | Literal["auto"] = "auto"
    """The GPUs of a trial: a fraction shares one between trials and caps the memory of each.
    `auto` shares the GPUs between as many trials as the CPUs can feed and the memory can hold,
    measured on the heaviest trial of the space; eight per GPU at most."""

    max_concurrent: Annotated[int | None, Unit("trials")] = Field(default=None, ge=1)
    """The greatest number of trials at once, if the machine could run more."""

    cpu_precision: Literal["auto", "fp32", "bf16", "flags"] = "auto"
    """What `train.precision=auto` is on a CPU: by default what is measured to be faster, once for
    all trials of a search. `flags` is the rule of older searches: bf16 where the processor has
    instructions for it, though some are slower by them."""

    @field_validator("gpu", mode="before")
    @classmethod
    def _fraction_or_whole(cls, gpu: Any) -> Any:
        if gpu == "auto":
            return gpu
        if isinstance(gpu, bool) or not isinstance(gpu, int | float):
            raise ValueError("must be a number of GPUs, such as 0.25, or auto")
        if not math.isfinite(gpu):
            raise ValueError("must be a finite number")
        if gpu > 1 and gpu != int(gpu):
            raise ValueError("above 1 it must be a whole number of GPUs")
        return gpu

    @property
    def threads(self) -> int:
        """The CPU threads of a trial."""
        return max(1, int(self.cpu))


class ConfirmConfig(Config):
    """How the best trials are confirmed, since the best of many scores is partly luck."""

    top_k: Annotated[int, Unit("trials")] = Field(default=0, ge=0)
    """The number of best trials that are run again; 0 takes the best by its single score."""

    seeds: Annotated[int, Unit("runs")] = Field(default=2, ge=1, le=100)
    """The number of other seeds for each. The winner has the best mean of the objective."""

    folds: Annotated[int, Field(ge=0, le=100), Unit("folds")] | Literal["auto"] = 0
    """The number of folds that each runs on instead of under other seeds: parts of training and
    validation images together, each with its share of every class, the same for all finalists.
    More than 5 are folds of further divisions into 5. 0 is none; `auto` is 5 where there are fewer
    than 250 validation images."""

    soup: bool = True
    """Whether an average of these runs' weights is a candidate too: of the best, and of each
    further one that improves it (Wortsman et al. 2022). Of runs on folds, which no images are left
    to judge by, the search's own are taken."""

    @field_validator("folds", mode="after")
    @classmethod
    def _not_one(cls, folds: int | str) -> int | str:
        if folds == 1:
            raise ValueError("must be 0, at least 2, or auto: a single fold leaves no images")
        return folds

    @property
    def over_folds(self) -> bool:
        """Whether the finalists run on folds; `auto` is decided on before the first trial."""
        return self.folds not in (0, "auto")

    @property
    def runs(self) -> int:
        """How often each finalist runs again."""
        return int(self.folds) if self.over_folds else self.seeds


class RefitConfig(Config):
    """How the winner is trained once more, on training and validation images together."""

    enabled: bool | Literal["auto"] = False
    """Whether it is, and registered instead of the best run or the soup. No images are left to
    judge it by. `auto` does so where there are fewer than 250 validation images, or the finalists
    ran on folds; not where `data.fold` is set, nor without folds in a space with the schedule
    `plateau`. It trains for all epochs where the learning rate falls to nothing (`one_cycle`,
    `cosine`) and no run of the winner was stopped early, else for as many as were the best on
    average when it was confirmed."""


class CacheConfig(Config):
    """How a node caches decoded images and what frozen layers make of them: each computed once."""

    enabled: bool | Literal["auto"] = "auto"
    """Whether they are cached, which changes no metric, only the time. `auto` caches all but the
    outputs of trials on a GPU, which computes them in less time than reading takes."""

    root: Path | None = None
    """The cache's folder; by default `TUNE_CACHE`, else one in the user's cache on each node."""

    max_gb: Annotated[float, Unit("GB")] = Field(default=20, gt=0, le=10**9)
    """The greatest size of outputs; above it, the least recently used entries are deleted."""

    images_gb: Annotated[float, Unit("GB")] = Field(default=100, gt=0, le=10**9)
    """The greatest size of decoded images, beside that of outputs. Images that do not fit are
    decoded into memory, or whenever they are read."""

    @property
    def of_images(self) -> ImageCache:
        """Where the images of files are decoded to."""
        root = None if self.root is None else str(self.root.resolve())
        return ImageCache(root, 0 if self.enabled is False else int(self.images_gb * 10**9))

    def max_bytes(self, *, on_gpu: bool) -> int:
        """`max_gb` in bytes, or 0 if the cache is off for trials on a GPU, or on a CPU."""
        enabled = not on_gpu if self.enabled == "auto" else self.enabled
        return int(self.max_gb * 10**9) if enabled else 0


class TrackingConfig(Config):
    """Where a search is recorded."""

    uri: str | None = None
    """MLflow's tracking URI; by default MLflow's own default: `MLFLOW_TRACKING_URI`, else
    `mlflow.db` here."""

    study: str | None = None
    """The URL of Optuna's storage; by default `TUNE_STUDY`, else `mlruns/optuna.db` here."""

    storage: str | None = None
    """Where checkpoints and the report lie, for all machines of a cluster: a folder that each has,
    or an address such as `s3://bucket/prefix`; by default `TUNE_STORAGE`, else `mlruns/searches`
    here. What an S3 server needs to know is the environment's: `AWS_ENDPOINT_URL_S3`,
    `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`."""

    also: Annotated[tuple[Logger, ...], BeforeValidator(as_tuple)] = ()
    """What shows the epochs besides MLflow, by Ray's own loggers: `tensorboard` (files in
    `mlruns/searches/NAME/tensorboard`), `wandb` (a run for each trial, in the project of the
    config's `name`)."""

    patience: Annotated[Duration, Field(ge=0, le=LONGEST)] = 60
    """How long the end of a search waits for an unreachable MLflow (`90s`, `5m`)."""


class RegistryConfig(Config):
    """What is done with the best checkpoint."""

    register_best: bool = True
    """Whether it is registered, as a version of `<model.arch>-<name>`, or of `resnet-<name>`
    if `model.arch` is searched."""

    promote: Literal["better", "not-worse", "always", "never"] = "not-worse"
    """Whether it becomes the `champion`, compared on the same test images with the champion and
    with the best champion so far: if it is significantly `better` than both, if it is shown to be
    worse than neither by more than `margin` (`not-worse`), `always` or `never`."""

    margin: Annotated[float, Unit("of the objective")] = Field(default=0.01, ge=0)
    """By how much a challenger may be worse, in the objective's own units: 0.01 is one point of
    accuracy or of another share, 0.01 nats of `val_loss`, or a hundredth of what a mistake costs
    that `objective.costs` does not name. The fewer the test images, or those of a class where
    classes count alike, the more must be allowed before anything can be shown."""

    alpha: float = Field(default=0.05, gt=0, lt=1)
    """The p-value below which a difference is significant, and one minus the confidence with
    which `margin` is kept."""
