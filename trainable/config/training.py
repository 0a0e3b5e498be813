"""The sections that say how a network is trained, judged and asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trainable.config.base import Config, Unit, registered
from trainable.registries import METRICS, POLICIES

Policy = Annotated[str, registered(POLICIES)]


class AugmentConfig(Config):
    """How training images vary from epoch to epoch."""

    policy: Policy = "none"
    """`none`, `flip`, `flip_crop` (mirror and random crop), `trivial`
    (TrivialAugmentWide, Müller & Hutter 2021) or `rand` (RandAugment, Cubuk et al.
    2020)."""

    mixup: float = Field(default=0.0, ge=0, le=10)
    """Alpha of MixUp (Zhang et al. 2018) on what enters the trained layers; 0 is off."""

    cutmix: float = Field(default=0.0, ge=0, le=10)
    """Alpha of CutMix (Yun et al. 2019) on what enters the trained layers; 0 is off.
    With both on, each batch takes one of them at even odds."""

    num_views: Annotated[int, Unit("views")] = Field(default=8, ge=1, le=1000)
    """How many views a random policy has. Epoch `e` trains on view `e mod num_views`."""


class OptimConfig(Config):
    """How weights are updated."""

    name: Literal["sgd", "adam", "adamw"] = "adamw"
    """SGD has Nesterov momentum 0.9; `one_cycle` moves it against the learning rate."""

    lr: float = Field(default=1e-3, gt=0, le=100)
    """Learning rate of the head at the schedule's peak."""

    weight_decay: float = Field(default=1e-4, ge=0, le=10)
    """Weight decay of whatever weights have more than one dimension, such as a convolution's;
    biases and norms have none."""

    l1: float = Field(default=0.0, ge=0, le=10)
    """Weight of the sum of the absolute values of the same weights in the loss."""

    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Each stage's learning rate over that of the stage above it (Howard & Ruder 2018)."""

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each target spread evenly over the classes (Szegedy et al. 2016)."""

    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay of an exponential moving average of the trained weights, a batch at a time (Polyak &
    Juditsky 1992): what is validated, tested and served is the average. 0 is off."""


class ScheduleConfig(Config):
    """How the learning rate moves."""

    name: Literal["constant", "cosine", "one_cycle", "step", "plateau"] = "one_cycle"
    """`step` divides by 10 after each third of what follows the warm-up; `plateau` at the
    third epoch in a row without a lower validation loss; the others move with each batch
    (Smith & Topin 2018 for `one_cycle`)."""

    warmup: float | None = Field(default=None, ge=0, lt=1)
    """Share of the run in which the rate rises to its peak. Default: 0.3 with
    `one_cycle`, else none."""

    @property
    def warmup_share(self) -> float:
        """`warmup`, with its default by schedule."""
        if self.warmup is not None:
            return self.warmup
        return 0.3 if self.name == "one_cycle" else 0.0


class TrainConfig(Config):
    """How long, in which batches and at which precision."""

    epochs: Annotated[int, Unit("epochs")] = Field(default=8, ge=1, le=10_000)
    """Passes over the training split."""

    stop_after: Annotated[int | None, Unit("epochs")] = Field(default=None, ge=1)
    """Stop after so many epochs, on the schedule of `epochs`. Default: never."""

    batch_size: Annotated[int, Unit("images")] = Field(default=64, ge=2, le=65_536)
    """Images a step. An incomplete last batch is left out."""

    first_image_size: Annotated[int | None, Unit("pixels")] = Field(default=None, ge=8, le=1024)
    """The side of training images in the first epoch. It grows to `data.image_size` in steps of 16
    pixels, evenly over the first two thirds of `epochs` (progressive resizing, as in Tan & Le
    2021), so that early epochs take less time. Validation and test are at `data.image_size` from
    the first epoch on. Default: all epochs have `data.image_size`."""

    early_stopping: Annotated[int | None, Unit("epochs")] = Field(default=None, ge=1)
    """Stop after so many epochs without a lower validation loss. Default: never."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` is bf16 on a GPU that has it, and on a CPU where it is measured to be faster; else
    fp32."""

    compile: bool | Literal["auto"] = "auto"
    """Whether the trained layers are compiled (`torch.compile`), which takes half a minute and
    changes metrics in their last digits. `auto` is on a GPU where so many steps pay it back."""

    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    """The seed of the head's first weights, the order of the batches and the mixing."""


class PredictConfig(Config):
    """How a trained network answers."""

    flips: bool = False
    """Whether it is shown each image and its mirror image, and its answer is the mean of both, in
    validation, in the test and where it is served. It takes twice as long."""


class ObjectiveConfig(Config):
    """What a search is after."""

    metric: Annotated[str, registered(METRICS)] = "val_acc"
    """`val_acc` (maximized) or `val_loss` (minimized), on the validation images. By it an epoch,
    a trial and a model are better than another; of equals, the one of lower loss."""
