"""Which files `data.limit` takes, before any is read: rule 3 of the split."""

from __future__ import annotations

import os

import numpy as np

from trainable.config import DataConfig
from trainable.data.hashing import hash_text
from trainable.data.listing import Listing
from trainable.data.parts import SPLITS, Parts
from trainable.data.splitting.content_split import Indices, quotas
from trainable.registries import SOURCES


def given_by(config: DataConfig) -> Listing | Parts:
    """What the source of a config gives, with no more files than its rule has read.

    Raises:
        ValueError: The data is missing, or a class has too few files.
    """
    given: Listing | Parts = SOURCES[config.source](config)
    if isinstance(given, Listing) and config.limit is not None and config.split_rule == 3:
        return limited(given, config.limit)
    return given


def limited(listing: Listing, limit: int) -> Listing:
    """At most so many training files, of each class in proportion; of several labels the rarest.

    They are drawn by their paths below the folder of all: so the same are taken wherever that lies,
    and of more files those that were taken before, but for the new ones.

    Args:
        listing: What a source lists. What it gives for validation and test stays whole.
        limit: The number of files.

    Raises:
        ValueError: A class would have too few for each split.
    """
    labels, files = listing.labels["train"], listing.files["train"]
    if limit >= len(files):
        return listing
    paths = [path.absolute() for path in files]  # a table may have paths of both kinds
    root = len(os.path.commonpath([path.parent for path in paths]))
    names = (os.fspath(path)[root:].replace(os.sep, "/") for path in paths)
    order = np.argsort([hash_text(f"limit {name}") for name in names], kind="stable")
    kinds, of_kind, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    taken = quotas(sizes, limit)
    places = [order[of_kind[order] == kind][:count] for kind, count in enumerate(taken)]
    rows = np.sort(np.concatenate(places))
    if "train" in listing.targets:  # an image counts for each of its labels
        has = listing.targets["train"]
        kinds, sizes, taken = np.arange(has.shape[1]), has.sum(0, int), has[rows].sum(0, int)
    _check(listing, [listing.classes[label] for label in kinds], sizes, taken, limit)
    return listing.at({"train": rows})


def _check(listing: Listing, names: list[str], sizes: Indices, taken: Indices, limit: int) -> None:
    """Check that a limit leaves each class a file for each split, if it has so many.

    Raises:
        ValueError: It does not.
    """
    needed = len(SPLITS) - len(listing.files.keys() - {"train"})
    short = np.flatnonzero((taken < needed) & (sizes >= needed))
    if len(short):
        files = len(listing.files["train"])
        enough = int(np.ceil(needed * files / sizes[short]).max())
        raise ValueError(
            f"data.limit={limit} takes {taken[short[0]]} files of class {names[short[0]]}, and "
            f"each class needs {needed}, one for each split; "
            + (f"give data.limit={enough} or more" if enough < files else "leave it out")
        )
