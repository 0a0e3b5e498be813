"""What a trial is: frozen, validated, and nothing else decides its result."""

from __future__ import annotations

from typing import Final

from pydantic import model_validator
from pydantic_core import from_json

from trainable.config.base import Config
from trainable.config.data import DataConfig, with_recorded_rule
from trainable.config.network import BUNDLED_ARCH, ModelConfig
from trainable.config.training import (
    AugmentConfig,
    ObjectiveConfig,
    OptimConfig,
    PredictConfig,
    ScheduleConfig,
    TrainConfig,
)
from trainable.registries import POLICIES

_SIZE_STEP: Final = 16
"""Pixels by which training images grow: of each size the views and what the frozen layers make of
them are computed again."""


class TrialConfig(Config):
    """All that decides a trial's metrics, but for the device and its threads."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    augment: AugmentConfig = AugmentConfig()
    optim: OptimConfig = OptimConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    train: TrainConfig = TrainConfig()
    predict: PredictConfig = PredictConfig()
    objective: ObjectiveConfig = ObjectiveConfig()

    def image_size_at(self, epoch: int) -> int:
        """The side of the training images in an epoch, counted from 0, in pixels."""
        last, first = self.data.image_size, self.train.first_image_size
        if first is None or epoch >= self.full_size_epoch:
            return last
        grown = first + (last - first) * epoch / self.full_size_epoch
        return min(last, first + round((grown - first) / _SIZE_STEP) * _SIZE_STEP)

    @property
    def full_size_epoch(self) -> int:
        """The first epoch, counted from 0, whose images have `data.image_size`, whatever follows.

        Of a single epoch it is the one after it.
        """
        if self.train.first_image_size is None:
            return 0
        return max(1, self.train.epochs * 2 // 3)

    @classmethod
    def recorded(cls, text: str) -> TrialConfig:
        """A trial as it was recorded, perhaps by a version that did not know all keys of today.

        Raises:
            ValueError: It is no trial's config.
        """
        return cls.model_validate(with_recorded_rule(from_json(text)))

    @model_validator(mode="after")
    def _mirror_keeps_labels(self) -> TrialConfig:
        policy = self.augment.policy
        if not self.data.mirrors and POLICIES[policy].needs_mirror:
            raise ValueError(
                f"augment.policy={policy} needs data whose mirror image keeps its label: "
                "use none or flip_crop (which then only crops), or set data.mirror=true"
            )
        return self

    @model_validator(mode="after")
    def _images_grow(self) -> TrialConfig:
        first, last = self.train.first_image_size, self.data.image_size
        if first is not None and first > last:
            raise ValueError(
                f"train.first_image_size={first} is above data.image_size={last}, to which images "
                "grow: give a smaller one, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _mirrored_answers_count(self) -> TrialConfig:
        if self.predict.flips and not self.data.mirrors:
            raise ValueError(
                "predict.flips needs data whose mirror image keeps its label: leave it out, or set "
                "data.mirror=true"
            )
        return self

    @model_validator(mode="after")
    def _bundled_weights_fit(self) -> TrialConfig:
        if self.model.weights == ("bundled",) and self.model.arch != BUNDLED_ARCH:
            raise ValueError(
                f"model.weights=bundled is a {BUNDLED_ARCH}: for model.arch={self.model.arch} "
                "give imagenet, random or a file"
            )
        return self
