"""The `data` section: which images, and how they are split."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from trainable.base.folds import ALL, checked
from trainable.config.base import Config, ImageSize, Unit, registered
from trainable.registries import SOURCES

Url = Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*://[^@]*$")]
"""Without a password, which would be recorded; fsspec has its own places for those."""

Source = Annotated[str, registered(SOURCES)]


class DataConfig(Config):
    """Which images, and how they are split."""

    source: Source = "digits"
    """`digits` (scikit-learn's, no download), `cifar10` (torchvision's, downloaded
    into `root`), `image_folder` (`root` with one folder per class, or with
    `train/`, `val/`, `test/` folders of those), `table` (`root` is a CSV, TSV, Parquet or
    JSON-lines file with the columns `path` and `label`), `torchvision` (any of its sets with one
    label an image, by `data.name`) or `huggingface` (a data set on disk, by an extra)."""

    root: Url | Path | None = None
    """Folder of the images, or the file of the table. Both may be a URL that fsspec knows, such as
    `s3://bucket/photos`: what lies there is copied to each machine once. For `cifar10` and
    `torchvision` where the files are kept (default: torchvision's cache folder)."""

    name: str | None = None
    """Which data set of `torchvision`, such as `Flowers102`, by the name of its class; with options
    of its constructor as in `DTD?partition=2`."""

    labels: Literal["one", "several"] = "one"
    """Whether an image has one label, or any number of them: in a table several are written
    `cat|dog` (or as a list in JSON lines and Parquet), none as an empty cell; or each label has a
    column of its own, of 1 and 0, and there is no column `label`. Then each label is learned on its
    own (sigmoid), and an answer is right if all its labels are."""

    group: str | None = None
    r"""What several images are of, such as a patient, a camera or a video: all images of one are in
    one split, and in one fold. For `image_folder` a regular expression that is searched in the path
    below `root`, and whose first group is the name: `data.group='(patient\d+)_'`. For
    `table` and `huggingface` a column; a table's column `group` needs no key."""

    limit: Annotated[int | None, Unit("images")] = Field(default=None, ge=2)
    """At most so many training images, of each class in proportion. Of files so many are read,
    before the test images are split off; of images in memory, they are taken after that. What
    the data has for validation and test of its own is never cut."""

    on_error: Literal["fail", "skip"] = "fail"
    """What becomes of files that cannot be read as images. `fail` names the first 20 and stops;
    `skip` leaves them out, and says which; a class that has no others is an error all the same."""

    image_size: ImageSize = 64
    """Side of the square the network sees, in pixels."""

    val_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of the training images held out for validation, where the data has no
    validation split of its own."""

    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of the images held out for the test, where the data has no test split of
    its own."""

    split_rule: Literal[1, 2, 3] = 3
    """How images are split. 3 and 2: by the content of each image, so that it stays in its split
    whatever is added, removed or renamed, and by groups of duplicates; with `limit`, 3 reads so
    many files, and 2 all, of which it takes those of the lowest hashes. 1: by the place of an image
    in the source, as searches before this key did."""

    mirror: bool | None = None
    """Whether a mirrored image keeps its label. By default true for everything but digits, letters,
    and torchvision's sets of traffic signs and of sentences. Where it is false, `flip` is refused
    and `flip_crop` only crops."""

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
    def origin(self) -> str:
        """Where the images come from: the source, and its name and root where it has them."""
        parts = (self.source, self.name, self.place)
        return " ".join(str(part) for part in parts if part is not None)

    @property
    def place(self) -> Path | str | None:
        """`root`, as it is from whatever folder."""
        return self.root.resolve() if isinstance(self.root, Path) else self.root

    @property
    def mirrors(self) -> bool:
        """`mirror`, with its default by source."""
        if self.mirror is not None:
            return self.mirror
        found = getattr(SOURCES[self.source], "mirrors", True)
        return found(self) if callable(found) else found

    @model_validator(mode="after")
    def _labels_can_be_several(self) -> DataConfig:
        if self.labels == "several" and not getattr(SOURCES[self.source], "has_several", False):
            raise ValueError(
                f"data.labels=several means nothing with data.source={self.source}, whose images "
                "have one label: give a table (data.source=table data.root=labels.csv)"
            )
        return self

    @model_validator(mode="after")
    def _has_the_root_it_needs(self) -> DataConfig:
        if self.root is None and getattr(SOURCES[self.source], "needs_root", False):
            example = getattr(SOURCES[self.source], "root_example", "FOLDER")
            raise ValueError(
                f"data.root is required with data.source={self.source}; give data.root={example}"
            )
        if isinstance(self.root, Path) and re.match(r"[a-z][a-z0-9+.-]+:/.*@", str(self.root)):
            raise ValueError(
                "data.root must be a URL without a user and a password, which would be recorded: "
                "give them where fsspec looks for them, such as AWS_ACCESS_KEY_ID"
            )
        if isinstance(self.root, str) and not getattr(SOURCES[self.source], "takes_url", False):
            raise ValueError(
                f"data.root={self.root}: data.source={self.source} takes a folder of this machine"
            )
        if self.root is not None and not getattr(SOURCES[self.source], "takes_root", True):
            raise ValueError(
                f"data.root={self.root} means nothing with data.source={self.source}; for a "
                "folder of images: --config image_folder"
            )
        return self

    @model_validator(mode="after")
    def _has_the_name_it_needs(self) -> DataConfig:
        example = getattr(SOURCES[self.source], "name_example", None)
        if self.name is None and example is not None:
            raise ValueError(
                f"data.name is required with data.source={self.source}; give data.name={example}"
            )
        if self.name is not None and example is None:
            where = f"data.source={self.source}"
            raise ValueError(f"data.name={self.name} means nothing with {where}; leave it out")
        return self

    @model_validator(mode="after")
    def _has_groups_that_it_can_tell(self) -> DataConfig:
        if self.group is None:
            return self
        kind = getattr(SOURCES[self.source], "groups_by", None)
        if kind is None:
            where = f"data.source={self.source}"
            raise ValueError(f"data.group={self.group} means nothing with {where}; leave it out")
        if self.split_rule == 1:
            raise ValueError(
                f"data.group={self.group}: data.split_rule=1 splits by place alone; leave it out"
            )
        if kind == "pattern":
            _check_pattern(self.group)
        return self


def _check_pattern(group: str) -> None:
    example = r"give one with a group, such as data.group='(patient\d+)_'"
    try:
        expression = re.compile(group)
    except re.error as error:
        raise ValueError(
            f"data.group={group} is no regular expression ({error}); {example}"
        ) from error
    if not expression.groups:
        raise ValueError(f"data.group={group} has no group in parentheses; {example}")


def with_recorded_rule(tree: Any) -> Any:
    """A recorded config with the rule by which its images were split.

    Args:
        tree: A trial's or a search's config. Without a `data.split_rule`, it is older than that
            key, and rule 1 was the only one.
    """
    if not isinstance(tree, dict) or not isinstance(tree.get("data", {}), dict):
        return tree  # and the check of all keys complains
    return {**tree, "data": {"split_rule": 1, **tree.get("data", {})}}
