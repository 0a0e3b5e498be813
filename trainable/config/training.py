"""The sections that say how a network is trained, judged and asked."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from trainable.config.base import Config, Form, Unit, as_tuple, registered
from trainable.config.costs import Cost, checked_costs, read_costs
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

    focal_gamma: float = Field(default=0.0, ge=0, le=10)
    """Exponent of the focal loss (Lin et al. 2017): what is answered with probability `p` counts
    `(1 - p)` to this power, so that training goes by what is still wrong. 0 is cross-entropy."""

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

    class_weights: Literal["none", "balanced", "effective"] = "none"
    """How much an image counts in the training loss, by its class: all alike, `balanced` in
    inverse proportion to the class's training images, or `effective` to their effective number
    `(1 - b^n) / (1 - b)` with `b = 0.999` (Cui et al. 2019). A batch's loss is the weighted mean;
    `val_loss` has no weights."""

    sampler: Literal["shuffle", "balanced"] = "shuffle"
    """Which training images an epoch shows: each once, or as many as that with every class equally
    often, those of large classes in turns and those of small ones again and again. An image with
    several labels counts with the rarest of them."""

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

    @property
    def last_epoch(self) -> int:
        """The number of a trial's last epoch, if nothing stops it before."""
        return min(self.epochs, self.stop_after or self.epochs)


class PredictConfig(Config):
    """How a trained network answers."""

    flips: bool = False
    """Whether it is shown each image and its mirror image, and its answer is the mean of both, in
    validation, in the test and where it is served. It takes twice as long."""


class ObjectiveConfig(Config):
    """What a search is after."""

    metric: Annotated[str, registered(METRICS)] = "val_acc"
    """What is maximized on the validation images, or minimized (`val_loss`, `val_cost`). By it an
    epoch, a trial and a model are better than another; of equals, the one of lower loss.
    `val_balanced_acc` is the mean of the classes' recalls, `val_macro_f1` of their F1, `val_auroc`
    of the areas under their ROC curves (one against the rest), each over the classes that have
    images there; `val_top5_acc` takes an answer for right if the class is among the first five."""

    also: Annotated[
        tuple[Annotated[str, AfterValidator(METRICS.check)], ...], BeforeValidator(as_tuple)
    ] = ()
    """What else each epoch and the test report, of the same metrics."""

    costs: Annotated[
        tuple[Cost, ...] | None,
        BeforeValidator(read_costs),
        AfterValidator(checked_costs),
        Form("mapping of a true class to a mapping of an answer to its cost"),
    ] = None
    """What `val_cost` is the mean of: the cost of each mistake, such as
    `{melanoma: {nevus: 20}, nevus: {melanoma: 2}}`. A mistake that is not named costs 1, a right
    answer nothing."""

    @model_validator(mode="after")
    def _costs_are_of_use(self) -> Self:
        asked = "val_cost" in (self.metric, *self.also)
        if asked and self.costs is None:
            raise ValueError(
                "objective.metric=val_cost needs objective.costs: give the cost of each mistake, "
                "such as objective.costs.TRUE_CLASS.ANSWER=10"
            )
        if self.costs is not None and not asked:
            raise ValueError(
                f"objective.costs means nothing with objective.metric={self.metric}: leave it out, "
                "or give objective.metric=val_cost"
            )
        return self
