"""A data set of Hugging Face's on disk: as it saves one, a folder of Parquet, or an imagefolder.

Images that lie within its files are written out once, as they are, so that they are files as all
others: known by their content, and decoded a few at a time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from filelock import FileLock

from trainable.base.text import listed
from trainable.data.decoding.kinds import HEAD, kind_of
from trainable.data.forms.layout import split_of
from trainable.data.listing import Listing
from trainable.data.parts import SPLITS, SplitName
from trainable.data.progress import Bar
from trainable.data.splitting.grouping import describe_groups
from trainable.files.places import Place
from trainable.store.arrays import default_root
from trainable.store.entries import FILES

_FOLDER: Final = 1000
"""Files in a folder."""
_FILES: Final = "files.json"
_NONE: Final = (None, -1, "")
"""The labels of images that have none."""


def list_huggingface(root: Path, group: str | None = None) -> Listing:
    """The images of a data set on disk.

    Args:
        root: Its folder.
        group: The column of the groups.

    Raises:
        ValueError: The package is lacking, it is no data set, or its columns are not an image and
            a label.
    """
    splits, notes = _by_split(root, _read(root))
    columns = _Columns.of(root, splits["train"].features, group)
    labels = {name: columns.labels(each) for name, each in splits.items()}
    for name in SPLITS[1:]:
        if name in labels and all(label in _NONE for label in labels[name]):
            notes.append(f"the {name} images have no labels: left out")
            del labels[name], splits[name]
    classes = columns.classes(labels.values())
    number = {label: place for place, label in enumerate(classes)}
    groups = {name: _groups(each, group) for name, each in splits.items() if group is not None}
    return Listing(
        files={name: _files_of(each, columns.image) for name, each in splits.items()},
        labels={
            name: np.array([number[label] for label in each if label is not None], np.int64)
            for name, each in labels.items()
        },
        classes=classes,
        notes=(*notes, *describe_groups(groups)),
        groups=dict(groups),
    )


def _read(root: Path) -> Mapping[str, Any]:
    """The splits of a data set, by its own names."""
    try:
        import datasets  # noqa: PLC0415, an extra
    except ImportError as error:
        raise ValueError(
            "data.source=huggingface needs a package: pip install 'resnet-tune[huggingface]'"
        ) from error
    try:
        # Not in memory, whatever HF_DATASETS_IN_MEMORY_MAX_SIZE says: its files tell what it is.
        if (root / "state.json").is_file() or (root / "dataset_dict.json").is_file():
            found = datasets.load_from_disk(str(root), keep_in_memory=False)
        else:
            cache = default_root() / FILES / "huggingface"
            found = datasets.load_dataset(str(root), cache_dir=str(cache), keep_in_memory=False)
    except (OSError, ValueError, KeyError, datasets.exceptions.DatasetsError) as error:
        raise ValueError(
            f"data.root={root} cannot be read as a data set ({error}): give a folder that "
            "save_to_disk wrote, or one of Parquet files or images"
        ) from error
    return found if isinstance(found, datasets.DatasetDict) else {"train": found}


def _by_split(root: Path, found: Mapping[str, Any]) -> tuple[dict[SplitName, Any], list[str]]:
    splits: dict[SplitName, Any] = {}
    others = []
    for name, each in found.items():
        split = split_of(name)
        if split is None or split in splits:
            others.append(name)
        else:
            splits[split] = each
    if "train" not in splits:
        raise ValueError(f"data.root={root} has no split train: it has {', '.join(found)}")
    notes = [f"left out: splits that are none of {', '.join(SPLITS)} ({', '.join(others)})"]
    return splits, notes if others else []


def _groups(rows: Any, column: str) -> list[str]:
    return ["" if name is None else str(name) for name in rows[column]]


class _Columns:
    """The columns of a data set that count.

    Args:
        image: The name of the one of images.
        label: The name of the one of labels.
        names: What the labels' numbers mean; None where they are their own names.
    """

    def __init__(self, image: str, label: str, names: Sequence[str] | None) -> None:
        self.image, self.label, self._names = image, label, names

    @classmethod
    def of(cls, root: Path, features: Mapping[str, Any], group: str | None) -> _Columns:
        """Those that the features of a data set say.

        Raises:
            ValueError: There is not one of each.
        """
        kinds = {name: type(feature).__name__ for name, feature in features.items()}
        has = listed((f"{name} ({kind})" for name, kind in kinds.items()), 10)
        images = [name for name, kind in kinds.items() if kind == "Image"]
        labels = [name for name, kind in kinds.items() if kind == "ClassLabel"]
        labels = [n for n in labels if n == "label"] or labels or [n for n in kinds if n == "label"]
        if len(images) != 1 or len(labels) != 1:
            raise ValueError(
                f"data.root={root} must have a column of the kind Image, and one of the kind "
                f"ClassLabel or called label; it has {has}"
            )
        if group is not None and group not in kinds:
            raise ValueError(f"data.group={group}: {root} has no such column; it has {has}")
        return cls(images[0], labels[0], getattr(features[labels[0]], "names", None))

    def labels(self, rows: Any) -> list[str | None]:
        """The names of the classes of rows, None where one has none.

        Raises:
            ValueError: Some rows have none, and others do.
        """
        found = list(rows[self.label])
        if self._names is not None:
            return [None if each in _NONE else self._names[each] for each in found]
        return [None if each in _NONE else str(each) for each in found]

    def classes(self, labels: Iterable[Sequence[str | None]]) -> tuple[str, ...]:
        """The classes that there are images of, in the order of their numbers.

        Raises:
            ValueError: An image has no label.
        """
        present = {label for each in labels for label in each}
        if None in present:
            raise ValueError(f"column {self.label} has rows without a label: leave them out")
        names = {label for label in present if label is not None}
        if self._names is None:
            return tuple(sorted(names))
        return tuple(name for name in self._names if name in names)


def _files_of(rows: Any, column: str) -> list[Path]:
    """The files of a split's images, which are written out where they lie within a larger file."""
    from datasets import Image  # noqa: PLC0415, an extra

    rows = rows.select_columns([column]).cast_column(column, Image(decode=False))
    sources = [Path(each["filename"]) for each in rows.cache_files]
    known = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in sources]
    key = hashlib.sha256(repr((known, len(rows))).encode()).hexdigest()[:16]
    home = Place(default_root() / FILES / f"huggingface-{key}")
    home.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(home.folder / "lock"):
        if home.exists(_FILES):
            files = [Path(name) for name in json.loads(home.read(_FILES))]
            if all(file.is_file() for file in files):
                return files
        files = []
        with Bar(f"writing {len(rows):,} images", len(rows)) as bar:
            for number, row in enumerate(rows):
                files.append(_file_of(row[column], home.folder, number))
                bar.more(1)
        home.write(_FILES, json.dumps([str(file) for file in files]).encode())
    return files


def _file_of(image: Mapping[str, Any] | None, folder: Path, number: int) -> Path:
    if image is None:
        raise ValueError(f"row {number} has no image: leave it out")
    if image["bytes"] is None:
        return Path(image["path"])
    kind = kind_of(image["bytes"][:HEAD])
    path = folder / str(number // _FOLDER) / f"{number}{kind.suffixes[0] if kind else '.bin'}"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(image["bytes"])
    return path
