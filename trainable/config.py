"""What a trial is: frozen, validated, and nothing else decides its result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic_core import from_json

from trainable.folds import ALL, checked
from trainable.registries import ARCHS, METRICS, POLICIES, SOURCES, Registry


def _registered(registry: Registry[Any]) -> AfterValidator:
    """Takes the names of a registry alone."""
    return AfterValidator(registry.check)


Source = Annotated[str, _registered(SOURCES)]
Policy = Annotated[str, _registered(POLICIES)]
Arch = Annotated[str, _registered(ARCHS)]

ImageSize = Annotated[int, Field(ge=8, le=1024)]
"""The side of the square that a network sees, in pixels."""

BUNDLED_ARCH: Final = "resnet18"
"""The architecture of the weights that come with this package."""

WEIGHTS_NAMES = ("bundled", "imagenet", "random")
"""What `model.weights` may name beside a path."""

MAX_DEPTH = 5
"""Unfreeze depth that trains everything: head, layer4, layer3, layer2, layer1, stem."""


class Config(BaseModel):
    """Base of every configuration: immutable, hashable, closed to unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class DataConfig(Config):
    """Which images, and how they are split."""

    source: Source = "digits"
    """`digits` (scikit-learn's, no download), `cifar10` (torchvision's, downloaded
    into `root`) or `image_folder` (`root` with one folder per class, or with
    `train/`, `val/`, `test/` folders of those)."""

    root: Path | None = None
    """Folder of the images. Required for `image_folder`; for `cifar10` where the
    files are kept (default: torchvision's cache folder)."""

    limit: int | None = Field(default=None, ge=2)
    """At most so many images of the training split, taken class by class before the
    validation images are split off. The test split is never cut."""

    image_size: ImageSize = 64
    """Side of the square the network sees, in pixels."""

    val_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of the training images held out for validation, where the data has no
    validation split of its own."""

    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of the images held out for the test, where the data has no test split of
    its own."""

    split_rule: Literal[1, 2] = 2
    """How images are split. 2: by the content of each image, so that it stays in its split
    whatever is added, removed or renamed, and by groups of duplicates. 1: by the place of an
    image in the source, as searches before this key did."""

    mirror: bool | None = None
    """Whether a mirrored image keeps its label. By default true for everything but
    digits. Where it is false, `flip` is refused and `flip_crop` only crops."""

    fold: Annotated[str, AfterValidator(checked)] | None = None
    """Which part of the training and validation images together is validated on, and the rest
    trained on: `2/5` is the second of five parts, each with its share of every class, and
    duplicates in one; `2/5r3` the same of a third division. `all` trains on all of them, and
    leaves none to judge by. By default they are as they are split. The test images stay."""

    @property
    def unfolded(self) -> DataConfig:
        """The same without folds."""
        return self if self.fold is None else self.model_copy(update={"fold": None})

    @property
    def keeps_no_validation(self) -> bool:
        """Whether the validation images are trained on too."""
        return self.fold == ALL

    @property
    def mirrors(self) -> bool:
        """`mirror`, with its default by source."""
        if self.mirror is not None:
            return self.mirror
        return getattr(SOURCES[self.source], "mirrors", True)

    @model_validator(mode="after")
    def _has_the_root_it_needs(self) -> DataConfig:
        if self.root is None and getattr(SOURCES[self.source], "needs_root", False):
            raise ValueError(f"data.root is required with data.source={self.source}")
        return self


def with_recorded_rule(tree: Any) -> Any:
    """A recorded config with the rule by which its images were split.

    Args:
        tree: A trial's or a search's config. Without a `data.split_rule`, it is older than that
            key, and rule 1 was the only one.
    """
    if not isinstance(tree, dict) or not isinstance(tree.get("data", {}), dict):
        return tree  # and the check of all keys complains
    return {**tree, "data": {"split_rule": 1, **tree.get("data", {})}}


def _as_tuple(value: Any) -> Any:
    """A single weights name as a list of one."""
    return (value,) if isinstance(value, str | Path) else value


class ModelConfig(Config):
    """Which network, where its weights come from, and how much of it is trained."""

    arch: Arch = "resnet18"
    """A ResNet of torchvision (He et al. 2016), a wide one (Zagoruyko & Komodakis 2016),
    a ResNeXt (Xie et al. 2017), or what a plugin registers."""

    weights: Annotated[
        tuple[Annotated[str, BeforeValidator(str)], ...], BeforeValidator(_as_tuple)
    ] = Field(default=("bundled",), min_length=1)
    """`bundled` (comes with this package: a resnet18 trained on CIFAR-10), `imagenet`
    (torchvision's), `random`, or the path of a state dict (`.pt`, `.pth`,
    `.safetensors`). Of a list, the first that is available.

    `imagenet` is IMAGENET1K_V1, which every ResNet has: V2 was trained
    with label smoothing, which makes features that transfer worse (Kornblith et al.
    2021)."""

    unfreeze_depth: int = Field(default=1, ge=0, le=MAX_DEPTH)
    """0 trains the head alone, 1 adds layer4, 2 layer3, 3 layer2, 4 layer1, and 5 the
    stem: everything."""


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

    num_views: int = Field(default=8, ge=1, le=1000)
    """How many views a random policy has. Epoch `e` trains on view `e mod num_views`."""


class OptimConfig(Config):
    """How weights are updated."""

    name: Literal["sgd", "adam", "adamw"] = "adamw"
    """SGD has Nesterov momentum 0.9; `one_cycle` moves it against the learning rate."""

    lr: float = Field(default=1e-3, gt=0, le=100)
    """Learning rate of the head at the schedule's peak."""

    weight_decay: float = Field(default=1e-4, ge=0, le=10)
    """Weight decay of the convolution and head weights; biases and BatchNorm have none."""

    l1: float = Field(default=0.0, ge=0, le=10)
    """Weight of the sum of absolute convolution and head weights in the loss."""

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
    """`step` divides by 10 after each third of the run; `plateau` at the third epoch in
    a row without a lower validation loss; the others move with each batch (Smith & Topin
    2018 for `one_cycle`)."""

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

    epochs: int = Field(default=8, ge=1, le=10_000)
    """Passes over the training split."""

    stop_after: int | None = Field(default=None, ge=1)
    """Stop after so many epochs, on the schedule of `epochs`. Default: never."""

    batch_size: int = Field(default=64, ge=2, le=65_536)
    """Images a step. An incomplete last batch is left out."""

    early_stopping: int | None = Field(default=None, ge=1)
    """Stop after so many epochs without a lower validation loss. Default: never."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` is bf16 where the device multiplies it natively, else fp32."""

    compile: bool | Literal["auto"] = "auto"
    """Whether the trained layers are compiled (`torch.compile`), which takes half a minute and
    changes metrics in their last digits. `auto` is on a GPU where so many steps pay it back."""

    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    """Of the head's first weights, the order of the batches and the mixing."""


class PredictConfig(Config):
    """How a trained network answers."""

    flips: bool = False
    """Whether it is shown each image and its mirror image, and its answer is the mean of both, in
    validation, in the test and where it is served. It takes twice as long."""


class ObjectiveConfig(Config):
    """What a search is after."""

    metric: Annotated[str, _registered(METRICS)] = "val_acc"
    """`val_acc` (maximized) or `val_loss` (minimized), on the validation images. By it an epoch,
    a trial and a model are better than another; of equals, the one of lower loss."""


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
