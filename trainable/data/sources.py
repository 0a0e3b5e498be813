"""Where images come from: one registered function a data source.

To add a source, write a function from :class:`~trainable.config.DataConfig` to a
:class:`~trainable.data.listing.Listing` of image files, which is decoded for it, or to
:class:`~trainable.data.parts.Parts` where the images are in memory; and register it, here or in a
module that `TUNE_PLUGINS` lists. A config asks what a source needs before anything slow is loaded:
so the functions here import what they read with when they are called.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypedDict, Unpack

from trainable.data.parts import Parts
from trainable.registries import SOURCES

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

    from trainable.config import DataConfig
    from trainable.data.forms.torchvision_sets import TorchvisionSet
    from trainable.data.listing import Listing

    Load = Callable[[DataConfig], Parts | Listing]

_UNMIRRORED: Final = {
    *("MNIST", "EMNIST", "KMNIST", "QMNIST", "SVHN", "USPS", "SEMEION", "Omniglot"),
    *("GTSRB", "RenderedSST2"),
}
"""Torchvision's sets of letters, digits and signs, which a mirror makes others of."""


class Facts(TypedDict, total=False):
    """What else is asked about a source. Each may be left out."""

    mirrors: bool | Callable[[DataConfig], bool]
    """Whether a mirrored image keeps its label, where `data.mirror` does not say. Default: true."""
    name_example: str
    """What a message says `data.name` to be, which is required then. Default: it means nothing."""
    needs_root: bool
    """Whether `data.root` is required. Default: false."""
    root_example: str
    """What a message says `data.root` to be, such as `labels.csv`. Default: `FOLDER`."""
    takes_url: bool
    """Whether `data.root` may be a URL. Default: false."""
    groups_by: Literal["pattern", "column"]
    """What `data.group` is: a regular expression on paths, or the name of a column. Default: it
    means nothing."""
    has_several: bool
    """Whether an image may have any number of labels (`data.labels=several`). Default: false."""
    takes_root: bool
    """Whether `data.root` means anything. Default: true."""
    is_local: Callable[[DataConfig], bool]
    """Whether loading downloads nothing. Default: it never does."""


def facts(**given: Unpack[Facts]) -> Callable[[Load], Load]:
    """A decorator that states what is not as usual about a source."""

    def add(load: Load) -> Load:
        vars(load).update(given)
        return load

    return add


@SOURCES.register("digits")
@facts(mirrors=False, takes_root=False)
def digits(_: DataConfig) -> Parts:
    """The 1,797 8x8 digits of the UCI test set (Alpaydin & Kaynak 1998)."""
    import numpy as np
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    return Parts(
        images={"train": np.repeat(grey[..., None], 3, axis=3)},
        labels={"train": bunch.target.astype(np.int64)},
        classes=tuple(str(name) for name in bunch.target_names),
    )


def _has_cifar10(config: DataConfig) -> bool:
    from torchvision.datasets import CIFAR10

    return (_cifar10_root(config) / CIFAR10.base_folder).is_dir()


def _cifar10_root(config: DataConfig) -> Path:
    import torch

    assert not isinstance(config.root, str)
    return config.root or Path(torch.hub.get_dir()).parent / "datasets"


@SOURCES.register("cifar10")
@facts(is_local=_has_cifar10)
def cifar10(config: DataConfig) -> Parts:
    """CIFAR-10 (Krizhevsky 2009), downloaded where it is not there yet."""
    import numpy as np

    root = _cifar10_root(config)
    try:
        train, test = _cifar10_sets(root)
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"CIFAR-10 is not in {root} and could not be downloaded ({error}): put "
            "cifar-10-python.tar.gz there, or set data.root"
        ) from error
    return Parts(
        images={"train": train.data, "test": test.data},
        labels={"train": np.array(train.targets), "test": np.array(test.targets)},
        classes=tuple(train.classes),
    )


def _cifar10_sets(root: Path) -> tuple[CIFAR10, CIFAR10]:
    """Those to train on and to test, downloaded by one process where several look for them."""
    from filelock import FileLock
    from torchvision.datasets import CIFAR10

    def made(*, download: bool) -> tuple[CIFAR10, CIFAR10]:
        train = CIFAR10(root, train=True, download=download)
        return train, CIFAR10(root, train=False)

    try:
        return made(download=False)
    except RuntimeError:  # it is not there, or not yet whole
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".download.lock"):
            return made(download=True)


def _is_here(config: DataConfig) -> bool:
    if not isinstance(config.root, str):
        return True
    from trainable.data.forms.remote import is_fetched

    return is_fetched(config.root)


@SOURCES.register("image_folder")
@facts(needs_root=True, takes_url=True, groups_by="pattern", is_local=_is_here)
def image_folder(config: DataConfig) -> Listing:
    """A folder of class folders, or of `train`, `val`, `test` folders of those."""
    from trainable.data.forms.image_folder import list_image_folder
    from trainable.data.forms.remote import fetched

    assert config.root is not None
    return list_image_folder(fetched(config.root), config.group)


@SOURCES.register("table")
@facts(
    needs_root=True,
    root_example="labels.csv",
    takes_url=True,
    groups_by="column",
    is_local=_is_here,
    has_several=True,
)
def table(config: DataConfig) -> Listing:
    """The files that a CSV, TSV, Parquet or JSON-lines table names, with their labels."""
    from trainable.data.forms.remote import fetched
    from trainable.data.forms.table import list_table

    assert config.root is not None
    several = config.labels == "several"
    return list_table(fetched(config.root), config.group, several=several)


@SOURCES.register("torchvision")
@facts(
    name_example="Flowers102",
    is_local=lambda config: _torchvision_set(config).is_local,
    mirrors=lambda config: (config.name or "").partition("?")[0] not in _UNMIRRORED,
)
def torchvision(config: DataConfig) -> Listing | Parts:
    """A data set of torchvision with one label an image, downloaded where it is not there yet."""
    return _torchvision_set(config).load(config.image_size)


def _torchvision_set(config: DataConfig) -> TorchvisionSet:
    from trainable.data.forms.torchvision_sets import TorchvisionSet

    assert config.name is not None
    assert not isinstance(config.root, str)
    return TorchvisionSet.named(config.name, config.root)


@SOURCES.register("huggingface")
@facts(needs_root=True, groups_by="column")
def huggingface(config: DataConfig) -> Listing:
    """A data set of Hugging Face's in a folder: saved, Parquet, or an imagefolder."""
    from trainable.data.forms.huggingface import list_huggingface

    assert isinstance(config.root, Path)
    return list_huggingface(config.root, config.group)
