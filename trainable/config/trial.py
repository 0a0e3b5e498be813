"""What a trial is: frozen, validated, and nothing else decides its result."""

from __future__ import annotations

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
