"""Points of a portfolio: trials that did well on other data, each with when and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from trainable.config import Config, TrialConfig
from tune.config.conditions import When
from tune.config.keys import TRIAL_KEYS, nearest
from tune.config.space import flatten

FACTS: Final = {
    "images": "training images",
    "classes": "classes",
    "images_per_class": "training images a class",
    "imbalance": "training images of the largest class over those of the smallest",
    "image_size": "pixels a side",
    "weights": "first weights: bundled, imagenet, random or file",
    "probe_accuracy": "validation accuracy of a linear classifier on the frozen network's features",
}
"""What is known of a search before its first trial, by name."""

LR, BATCH, OPTIMIZER, DEPTH = (
    "optim.lr",
    "train.batch_size",
    "optim.name",
    "model.unfreeze_depth",
)
"""Keys that decide a learning rate."""

NOT_OF_POINTS: Final = ("data.", "objective.", "train.seed")
"""What keys begin with that are no point's business."""


def _flat(values: Any) -> Any:
    return flatten(values) if isinstance(values, Mapping) else values


class Point(Config):
    """A trial to try first, where the facts of the data are as it says."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")
    """Its name."""

    why: str = Field(default="", max_length=300)
    """Why it is tried, in a sentence."""

    when: When = Field(default_factory=dict)
    """Conditions on facts of the data, all of which must hold: `images`, `classes`,
    `images_per_class`, `imbalance`, `image_size`, `weights`, `probe_accuracy`."""

    values: Annotated[dict[str, Any], BeforeValidator(_flat)] = Field(min_length=1)
    """Values by dotted key. What the search does not search stays as its config has it."""

    lr_at_batch: int | None = Field(default=None, ge=2)
    """The batch size for which `optim.lr` is given. For another batch size it is scaled: in
    proportion with SGD (Goyal et al. 2017), by the square root with Adam and AdamW (Malladi et al.
    2022). By default it is taken as it is."""

    @field_validator("when")
    @classmethod
    def _known_facts(cls, when: dict[str, Any]) -> dict[str, Any]:
        for fact in when:
            if fact not in FACTS:
                raise ValueError(f"when.{fact}: no such fact{nearest(fact, FACTS)}")
        return when

    @field_validator("values")
    @classmethod
    def _makes_a_trial(cls, values: dict[str, Any]) -> dict[str, Any]:
        tree: dict[str, dict[str, Any]] = {"data": {"mirror": True}}
        for key, value in values.items():
            if key not in TRIAL_KEYS:
                hint = nearest(key, TRIAL_KEYS)
                raise ValueError(f"values.{key}: no such key of a trial{hint}")
            if key.startswith(NOT_OF_POINTS):
                raise ValueError(f"values.{key}: a point leaves this to the config")
            section, _, field = key.partition(".")
            tree.setdefault(section, {})[field] = value
        # Which weights a search has, it says itself; the default ones fit one architecture.
        tree.setdefault("model", {}).setdefault("weights", "random")
        try:
            TrialConfig.model_validate(tree)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(map(str, first["loc"]))
            rule = first["msg"].removeprefix("Value error, ")
            raise ValueError(f"values.{key}={first['input']}: {rule}" if key else rule) from error
        return values

    @model_validator(mode="after")
    def _has_the_rate_it_scales(self) -> Self:
        if self.lr_at_batch is not None and LR not in self.values:
            raise ValueError(f"lr_at_batch needs values.{LR}, which it is about")
        return self


class Points(Config):
    """What a file in `configs/portfolios/` holds."""

    points: tuple[Point, ...] = Field(min_length=1, max_length=100)
    """The points, in the order in which they are tried."""

    @field_validator("points")
    @classmethod
    def _named_apart(cls, points: tuple[Point, ...]) -> tuple[Point, ...]:
        name, count = Counter(point.name for point in points).most_common(1)[0]
        if count > 1:
            raise ValueError(f"{count} points are called {name}; give each a name of its own")
        return points


class FirstPoint(Config):
    """A point as a search tries it: the values are in its space."""

    name: str
    why: str
    values: dict[str, Any]
