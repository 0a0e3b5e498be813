"""Which folders of a root are splits, and which are classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from trainable.base.text import is_utf8, printable
from trainable.data.forms.rows import TABLES
from trainable.data.forms.walking import LeftOut, folders_in
from trainable.data.parts import SPLITS, SplitName
from trainable.files.places import is_folder

_WORDS: Final[dict[str, SplitName]] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
BESIDE_SPLITS: Final = "beside the split folders"


def split_of(word: str) -> SplitName | None:
    """The split that a word names, in any case: `Training`, `valid`; None if it names none."""
    return _WORDS.get(word.strip().lower())


def tables_in(folder: Path) -> list[Path]:
    """The tables that lie in a folder."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLES)


@dataclass(frozen=True)
class Layout:
    """The folders of a root.

    Attributes:
        splits: The folder of each split; `train` alone, which may be the root, is always there.
        classes: The names of the class folders, the same in each split.
        notes: Which splits have no labels and are left out, in a line each.
    """

    splits: dict[SplitName, Path]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, root: Path, left_out: LeftOut) -> Layout:
        """That of a root.

        Raises:
            ValueError: It has no classes, they differ between splits, or a split is there twice.
        """
        if not is_folder(root):
            raise ValueError(f"data.root={root} is not a folder: give one with a folder per class")
        folders = _split_folders(root, left_out)
        below = {name: folders_in(folder, left_out) for name, folder in folders.items()}
        classes = _class_names(folders["train"], below["train"])
        notes = []
        for name in SPLITS[1:]:
            if name in folders and _has_no_labels(below[name], classes):
                notes.append(_without_labels(name, folders.pop(name)))
        for name, folder in folders.items():
            _check_same(folder, [each.name for each in below[name]], folders["train"], classes)
        return cls(folders, classes, tuple(notes))


def _split_folders(root: Path, left_out: LeftOut) -> dict[SplitName, Path]:
    """The folders of the splits, or the root alone as that of the training images."""
    by_split: dict[SplitName | None, list[Path]] = {}
    for folder in folders_in(root, left_out):
        by_split.setdefault(split_of(folder.name), []).append(folder)
    others = by_split.pop(None, [])
    found: dict[SplitName, Path] = {}
    for name in SPLITS:
        if len(several := by_split.get(name, [])) > 1:
            raise ValueError(
                f"{root} has {_listed(each.name for each in several)}, which all name the {name} "
                "images: merge them, or move one away"
            )
        found |= dict.fromkeys([name] if several else [], *several)
    if not found:
        return {"train": root}
    _check_beside(root, found, others)
    for folder in others:
        left_out.add(BESIDE_SPLITS, folder)
    return found


def _check_beside(root: Path, found: dict[SplitName, Path], others: Sequence[Path]) -> None:
    """Check that what is called as a split is one, and that no class lies beside it.

    Raises:
        ValueError: It is unclear what the folders are.
    """
    names, classes = _listed(each.name for each in found.values()), {each.name for each in others}
    if "train" not in found:
        if others:
            raise ValueError(
                f"{root} has {names}, named as a split, beside {_listed(classes)}: move the other "
                f"folders into {root / 'train'}, or give {names} another name if it is a class"
            )
        raise ValueError(
            f"{root} has {names} and no training images: put a folder per class into "
            f"{root / 'train'}"
        )
    train = found["train"]
    inside = {each.name for each in folders_in(train, LeftOut(root))}
    if others and not inside:
        raise ValueError(
            f"{train} has no class folders, and {_listed(classes)} lie beside it: give it another "
            "name if it is a class, or move the class folders into it"
        )
    if both := classes & inside:
        raise ValueError(
            f"{_listed(both)} lie in {train} and beside it: move all images of a class into "
            f"{train}, or away"
        )


def _class_names(folder: Path, folders: Sequence[Path]) -> tuple[str, ...]:
    names = [each.name for each in folders]
    for name in names:
        if not is_utf8(name):
            raise ValueError(f"{folder / name} has a name that is no UTF-8: rename it")
    if len(names) < 2:
        hint = _hint(folder, folders)
        raise ValueError(f"{folder} has {len(names)} class folders: at least 2 are needed{hint}")
    return tuple(names)


def _hint(folder: Path, folders: Sequence[Path]) -> str:
    """What else may have been meant where there are no class folders."""
    if tables := tables_in(folder):
        return f"; for labels in a table: data.source=table data.root={tables[0]}"
    if len(folders) == 1 and len(folders_in(folders[0], LeftOut(folder))) > 1:
        return f"; for the folders in the one that is there: data.root={folders[0]}"
    return ""


def _has_no_labels(folders: Sequence[Path], classes: Sequence[str]) -> bool:
    """Whether a split has no class folders: files alone, or one folder called as no class is."""
    return not folders or (len(folders) == 1 and folders[0].name not in classes)


def _without_labels(name: SplitName, folder: Path) -> str:
    return (
        f"{printable(str(folder))} has no class folders, so its images have no labels: it is left "
        f"out, and {name} images are taken from the training images"
    )


def _check_same(folder: Path, names: Sequence[str], train: Path, classes: Sequence[str]) -> None:
    """Check that the classes of a split are those of the training images.

    Raises:
        ValueError: They are not; names those that differ.
    """
    more, less = sorted(set(names) - set(classes)), sorted(set(classes) - set(names))
    if not (more or less):
        return
    near = [get_close_matches(name, less, 1) for name in more[:1]]
    told = [f"{_listed(more)} only here"] if more else []
    told += [f"no {_listed(less)}"] if less else []
    hint = f" (is {more[0]} {near[0][0]}?)" if near and near[0] else ""
    raise ValueError(
        f"{folder} has other class folders than {train}: {', '.join(told)}{hint}; name the same "
        "classes in each split, with an image at least, or leave the split out, and it is taken "
        "from the training images"
    )


def _listed(names: Iterable[str]) -> str:
    each = [printable(name) for name in sorted(names)]
    more = f" and {len(each) - 5} more" if len(each) > 5 else ""
    return ", ".join(each[:5]) + more
