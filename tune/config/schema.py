"""What a search is: the trial it starts from, the space around it, and its resources."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from trainable.config import BUNDLED_ARCH, TrialConfig
from trainable.judging.objective import Objective
from trainable.runtime import Runtime
from tune.config.keys import TRIAL_KEYS, is_whole, nearest, why_not_searched
from tune.config.rules import first_broken
from tune.config.sections import (
    BudgetConfig,
    CacheConfig,
    ConfirmConfig,
    RefitConfig,
    RegistryConfig,
    ResourcesConfig,
    SamplerConfig,
    SchedulerConfig,
    StrategyConfig,
    TrackingConfig,
)
from tune.config.space import Choices, Range, Values, flatten, flatten_space
from tune.config.walk import check_conditions, count_trials, possible, samples

NAME_RULE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""The rule for names of experiments and searches: safe in a path, a URL and a table."""


TOGETHER: Final = {"data.mirror", "augment.policy", "predict.flips"}
"""Keys of a trial that have rules between them, but for those that `_bundled_fits_every_arch` is
about."""
_LOOKED_AT: Final = 2_000
"""The trials of a space that are checked for these rules. Should one come up that breaks them all
the same, it fails alone."""


class SearchConfig(TrialConfig):
    """A search: the keys of the trial that it starts from, its space, and its own sections."""

    name: str = Field(default="default", pattern=NAME_RULE)
    """The name of the MLflow experiment, and of the registered model after its architecture,
    such as `resnet18-`."""

    space: Annotated[dict[str, Values], BeforeValidator(flatten_space)] = Field(
        default_factory=dict
    )
    """The searched keys of the trial, each with `{low, high, log, step}` or a list of values,
    `{values: [...]}`; beside these, `when` says under which conditions a trial has the key."""

    strategy: StrategyConfig = StrategyConfig()
    sampler: SamplerConfig = SamplerConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    budget: BudgetConfig = BudgetConfig()
    resources: ResourcesConfig = ResourcesConfig()
    confirm: ConfirmConfig = ConfirmConfig()
    refit: RefitConfig = RefitConfig()
    cache: CacheConfig = CacheConfig()
    tracking: TrackingConfig = TrackingConfig()
    registry: RegistryConfig = RegistryConfig()

    @property
    def base(self) -> TrialConfig:
        """The trial that the search starts from."""
        return TrialConfig(**{name: getattr(self, name) for name in TrialConfig.model_fields})

    @property
    def own(self) -> dict[str, Any]:
        """The values of the trial that the search starts from, by dotted key."""
        return flatten(self.base.model_dump())

    @property
    def keys_in_use(self) -> set[str]:
        """The keys of the trial that are searched, or set to another value than their default."""
        return {*self.space, *flatten(self.base.model_dump(exclude_defaults=True))}

    @property
    def num_trials(self) -> int:
        """The number of trials: what was asked for, or all that differ from each other."""
        return count_trials(self.space, self.own, self.budget.num_samples)

    @property
    def archs(self) -> tuple[str, ...]:
        """The architectures that a trial may have."""
        searched = self.space.get("model.arch")
        if isinstance(searched, Choices):
            return tuple(str(choice) for choice in searched.choices)
        return (self.model.arch,)

    @property
    def model_name(self) -> str:
        """The name of the registered model, which is known before the winner is."""
        one = self.archs[0].rpartition("/")[2]
        return f"{one if len(self.archs) == 1 else 'resnet'}-{self.name}"

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
        images = self.cache.of_images
        return Runtime(
            threads=self.resources.threads,
            memory_fraction=memory_fraction,
            use_gpu=self.resources.gpu != 0,
            cpu_precision=self.resources.cpu_precision,
            cache_root=images.root,
            cache_bytes=self.cache.max_bytes(on_gpu=False),
            gpu_cache_bytes=self.cache.max_bytes(on_gpu=True),
            image_bytes=images.max_bytes,
        )

    @model_validator(mode="after")
    def _target_can_be_reached(self) -> Self:
        target, objective = self.budget.target, Objective.named(self.objective.metric)
        if target is None:
            return self
        if objective.metric.is_share and not 0 < target <= 1:
            raise ValueError(f"budget.target={target:g}: {objective.name} is above 0 and at most 1")
        if not objective.maximizes and target <= 0:
            raise ValueError(f"budget.target={target:g}: {objective.name} is above 0")
        return self

    @model_validator(mode="after")
    def _space_makes_trials(self) -> Self:
        for key, values in self.space.items():
            if why := why_not_searched(key):
                hint = "" if key in TRIAL_KEYS else nearest(key, TRIAL_KEYS, "space.")
                raise ValueError(f"space.{key}: {why}{hint}")
            for value in _extremes(key, values):
                self._check_value(key, value)
        check_conditions(self.space, self.own)
        self._check_together()
        return self

    @model_validator(mode="after")
    def _folds_of_whole_data(self) -> Self:
        if self.data.fold is not None and self.confirm.over_folds:
            raise ValueError(
                f"confirm.folds={self.confirm.folds} and data.fold={self.data.fold} exclude each "
                "other: leave one out"
            )
        if self.data.fold is not None and self.refit.enabled is True:
            raise ValueError(
                f"refit.enabled=true and data.fold={self.data.fold} exclude each other, since a "
                "refit trains on all images: leave one out"
            )
        if self.refit.enabled is True and "plateau" in possible(
            self.space, self.own, "schedule.name"
        ):
            raise ValueError(
                "refit.enabled=true and schedule.name=plateau exclude each other, since a refit "
                "has no validation loss for the schedule to go by: leave one out"
            )
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
            broken = first_broken(error)
            if key not in TOGETHER or broken.where:
                raise ValueError(f"space.{key} holds {value}: {broken.rule}") from error

    def _check_together(self) -> None:
        """Check that the values of keys that have a rule between them make a trial."""
        if not TOGETHER & self.space.keys():
            return
        for values in islice(samples(self.space, self.own, TOGETHER), _LOOKED_AT):
            try:
                self.trial(values)
            except ValidationError as error:
                rule = first_broken(error).rule
                keys = [key for key in values if key in TOGETHER and key in rule]
                shown = " with ".join(f"space.{key}={values[key]}" for key in keys)
                if len(keys) == 1:
                    raise ValueError(f"space.{keys[0]} holds {values[keys[0]]}: {rule}") from error
                raise ValueError(f"the space holds {shown}: {rule}") from error


def _extremes(key: str, values: Range | Choices) -> list[Any]:
    """Values of which it is enough that they are valid: then all values of the space are."""
    if isinstance(values, Choices):
        return list(values.choices)
    ends = [values.low, values.high]
    if values.step is not None:
        ends.append(values.low + values.step)
    elif not is_whole(key):  # between false and true, a range holds what is neither
        ends.append(values.low / 2 + values.high / 2)
    return [int(end) if end == int(end) and is_whole(key) else end for end in ends]
