"""Every image of a source, read once.

What is found of files lies in the store, where a search finds it again; only what describes an
image stays in memory, under 2 KB at the peak, whatever its size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from trainable.config import DataConfig
from trainable.data.decoding.broken import Broken
from trainable.data.decoding.decoded import open_files
from trainable.data.decoding.facts import Facts
from trainable.data.decoding.files import Files
from trainable.data.decoding.image_file import ImageError, read_small, read_square
from trainable.data.forms.remote import folder_of
from trainable.data.hashing import hash_pixels
from trainable.data.listing import Listing
from trainable.data.looks import SIDE, Looks, shrink
from trainable.data.parts import SPLITS, Parts, SplitName
from trainable.data.progress import Bar
from trainable.data.sizes import stored_side
from trainable.data.splitting.duplicates import group_images
from trainable.data.splitting.grouping import stay_together
from trainable.data.splitting.limiting import given_by
from trainable.store.arrays import ArrayStore
from tune.base.errors import ConfigError
from tune.soundness.survey import Rejected, Survey

_AT_ONCE: Final = 64
"""Images that a thread describes before it takes the next."""


def survey(config: DataConfig, store: ArrayStore | None) -> Survey:
    """Read every image of a source once.

    Args:
        config: Names the source.
        store: Where what is found of files is stored; None is nowhere.

    Raises:
        ConfigError: The source cannot be listed, or no image of it can be read.
    """
    try:
        found = given_by(config)
        if isinstance(found, Listing):
            return _of_files(found, config, store)
        return _of_arrays(found)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _of_files(listing: Listing, config: DataConfig, store: ArrayStore | None) -> Survey:
    splits: list[SplitName] = [name for name in SPLITS if name in listing.files]
    opened = open_files(listing.files, store)
    facts = np.concatenate([opened[name].facts for name in splits])
    files = [path for name in splits for path in listing.files[name]]
    good, broken = np.flatnonzero(facts["broken"] == 0), np.flatnonzero(facts["broken"])
    root = None if config.root is None else folder_of(config.root)
    rejected = tuple(_rejected(files[index], root) for index in broken)
    if not len(good):
        first = f"{rejected[0].name}: {rejected[0].reason}"
        raise ConfigError(f"no image of {config.root} can be read; the first: {first}")
    where = np.repeat(
        [SPLITS.index(each) for each in splits], [len(listing.files[n]) for n in splits]
    )
    kept = [files[index] for index in good]
    found = facts[good] if len(broken) else facts
    labels = np.concatenate([listing.labels[name] for name in splits])[good]
    targets = _targets(listing, splits)
    groups = group_images(found["hash"], Looks(found["look"], found["thumb"]))
    names = _group_names(listing, splits)
    names = tuple(names[index] for index in good) if names else ()
    sizes = np.stack([found["width"], found["height"]], axis=1).astype(np.int64)
    side = _side_of(sizes, config.image_size)
    return Survey(
        classes=listing.classes,
        given=tuple(splits),
        names=tuple(_below(path, root) for path in kept),
        files=tuple(kept),
        splits=where[good],
        labels=labels.astype(np.int64),
        sizes=sizes,
        contrast=_contrasts(kept, found),
        hashes=found["hash"],
        groups=groups,
        together=_together(groups, where[good], splits, names),
        read=lambda index: read_square(kept[index], side),
        broken=rejected,
        left_out=listing.skipped,
        notes=listing.notes,
        targets=targets[good] if len(targets) else targets,
        group_names=names,
        refused=_why_refused(listing, opened) if config.on_error == "skip" else "",
    )


def _why_refused(listing: Listing, opened: Mapping[SplitName, Files]) -> str:
    """Why a search refuses what is left without the broken files; empty text if it does not."""
    try:
        Broken(opened).check_classes(listing.labels, listing.targets, listing.classes)
    except ImageError as error:
        return str(error)
    return ""


def _contrasts(files: Sequence[Path], found: Facts) -> NDArray[np.float32]:
    """The contrast of each image: of its thumbnail, or of a tiny one itself."""
    thumbs, contrasts = found["thumb"], np.empty(len(found), np.float32)
    tiny = np.flatnonzero(np.minimum(found["width"], found["height"]) < SIDE)

    def of_thumbs(start: int, stop: int) -> None:
        shades = thumbs[start:stop].astype(np.float32)
        contrasts[start:stop] = (shades - shades.mean((1, 2), keepdims=True)).std((1, 2, 3))

    def of_files(start: int, stop: int) -> None:
        for index in tiny[start:stop]:
            contrasts[index] = _contrast(read_small(files[index]))

    for start in range(0, len(found), _AT_ONCE):
        of_thumbs(start, start + _AT_ONCE)
    _in_threads(of_files, len(tiny))
    return contrasts


def _rejected(path: Path, root: Path | None) -> Rejected:
    """A file that could not be read, and why."""
    try:
        read_square(path, 1)
        # Its file system was not well when it was found broken, and what was found is stored.
        reason = "it could not be read at first: touch it, so that it is read again"
    except ImageError as error:
        reason = error.brief.removeprefix(f"{path} ").strip("()")
    return Rejected(_below(path, root), reason)


def _of_arrays(parts: Parts) -> Survey:
    splits: list[SplitName] = [name for name in SPLITS if name in parts.images]
    images = [np.asarray(parts.images[name]) for name in splits]  # a source gives arrays
    ends = np.cumsum([0, *map(len, images)])
    count = int(ends[-1])
    where = np.repeat([SPLITS.index(name) for name in splits], np.diff(ends))
    hashes, contrast = np.empty(count, np.uint64), np.empty(count, np.float32)

    def read(index: int) -> NDArray[np.uint8]:
        which = int(np.searchsorted(ends, index, "right")) - 1
        return images[which][index - int(ends[which])]

    def describe(start: int, stop: int) -> None:
        for index in range(start, stop):
            hashes[index] = hash_pixels(read(index)[None])[0]
            contrast[index] = _contrast(shrink(Image.fromarray(read(index))))

    _in_threads(describe, count)
    groups = group_images(hashes, Looks.joined([Looks.of_pixels(each) for each in images]))
    height, width = images[0].shape[1:3]
    files = [path for name in splits for path in parts.files.get(name, ())]
    names = _group_names(parts, splits)
    numbered = [f"{name} image {n}" for name in splits for n in range(len(parts.labels[name]))]
    return Survey(
        classes=parts.classes,
        given=tuple(splits),
        names=tuple(map(str, files or numbered)),
        files=tuple(files),
        splits=where,
        labels=np.concatenate([parts.labels[name] for name in splits]).astype(np.int64),
        sizes=np.tile(np.array([[width, height]], np.int64), (count, 1)),
        contrast=contrast,
        hashes=hashes,
        groups=groups,
        together=_together(groups, where, splits, names),
        read=read,
        left_out=parts.skipped,
        notes=parts.notes,
        targets=_targets(parts, splits),
        group_names=names,
    )


def _targets(given: Listing | Parts, splits: list[SplitName]) -> NDArray[np.uint8]:
    """Which labels each image of a source has; empty where each has one."""
    several = [given.targets[name] for name in splits] if given.targets else []
    return np.concatenate(several) if several else np.empty(0, np.uint8)


def _contrast(small: NDArray[np.uint8]) -> float:
    shades = small.astype(np.float32)
    return float((shades - shades.mean((0, 1))).std())


def _group_names(given: Listing | Parts, splits: list[SplitName]) -> tuple[str, ...]:
    """The name of the group of each image of a source; empty where no image has one."""
    alone = {split: [""] * len(given.labels[split]) for split in splits}
    names = [name for split in splits for name in given.groups.get(split, alone[split])]
    return tuple(names) if any(names) else ()


def _together(
    groups: NDArray[np.uint64],
    where: NDArray[np.int64],
    splits: list[SplitName],
    names: tuple[str, ...],
) -> NDArray[np.uint64]:
    """What images are held together by: what they are copies of, and the names of their groups."""
    of_splits = {split: np.flatnonzero(where == SPLITS.index(split)) for split in splits}
    joined = stay_together(
        {split: groups[at] for split, at in of_splits.items()},
        {split: [names[i] for i in at] for split, at in of_splits.items()} if names else {},
    )
    return np.concatenate([joined[split] for split in splits])


def _in_threads(describe: Callable[[int, int], None], count: int) -> None:
    """Have images described, some at a time, by their first index and the one after their last."""
    starts = range(0, count, _AT_ONCE)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool, Bar("describing", count) as bar:
        for _ in pool.map(lambda start: describe(start, min(start + _AT_ONCE, count)), starts):
            bar.more(_AT_ONCE)


def _side_of(sizes: NDArray[np.int64], image_size: int) -> int:
    """The side at which images are stored: their own where they are alike, square and small."""
    width, height = map(int, sizes[0])
    if width == height <= image_size and (sizes == sizes[0]).all():
        return width
    return stored_side(image_size)


def _below(path: Path, root: Path | None) -> str:
    """A path below the root, or below the folder of a table, if it is there."""
    for folder in (root, root and root.parent):
        if folder is not None and path.is_relative_to(folder):
            return str(path.relative_to(folder))
    return str(path)
