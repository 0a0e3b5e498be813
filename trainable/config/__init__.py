"""What a trial is: its sections, each with its keys, and :class:`TrialConfig` of them all."""

from trainable.config.base import Config, Form, ImageSize, Unit
from trainable.config.data import DataConfig, with_recorded_rule
from trainable.config.network import BUNDLED_ARCH, MAX_DEPTH, WEIGHTS_NAMES, Arch, ModelConfig
from trainable.config.training import (
    AugmentConfig,
    ObjectiveConfig,
    OptimConfig,
    Policy,
    PredictConfig,
    ScheduleConfig,
    TrainConfig,
)
from trainable.config.trial import TrialConfig

__all__ = [
    "BUNDLED_ARCH",
    "MAX_DEPTH",
    "WEIGHTS_NAMES",
    "Arch",
    "AugmentConfig",
    "Config",
    "DataConfig",
    "Form",
    "ImageSize",
    "ModelConfig",
    "ObjectiveConfig",
    "OptimConfig",
    "Policy",
    "PredictConfig",
    "ScheduleConfig",
    "TrainConfig",
    "TrialConfig",
    "Unit",
    "with_recorded_rule",
]
