"""What is to be said of surveyed images, in a line each, as the doctor says it of a machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from trainable.config import DataConfig
from trainable.data.balance import Balance
from trainable.data.looks import LEAST_CONTRAST
from tune.base.finding import Finding
from tune.soundness.copies import Copies
from tune.soundness.division import Division
from tune.soundness.survey import Rejected, Survey

ELONGATED: Final = 2.0
"""The ratio of an image's sides above which the square cut out of it is less than half of it."""
_CUT: Final = "nothing, if what matters is in their middle; else cut them up"
_NAMED: Final = 3
"""Files that a line names."""


def judge(
    survey: Survey, config: DataConfig, copies: Sequence[Copies], division: Division | None = None
) -> list[Finding]:
    """All that is to be said of images.

    Args:
        survey: The images.
        config: The data section that a search would have.
        copies: Their duplicates.
        division: How a search would split them.
    """
    found = [_images(survey), *_unread(survey, config), *_copies(survey, copies)]
    found += [*_plain(survey), *_sizes(survey, config), *_balance(survey, division)]
    if division is not None:
        found += _division(division)
    return found


def _images(survey: Survey) -> Finding:
    counts = np.bincount(survey.splits, minlength=3)
    splits = [f"{counts[i]:,} {name}" for i, name in enumerate(("train", "val", "test"))]
    shown = ", ".join(each for each in splits if not each.startswith("0 "))
    told = f"{counted(len(survey), 'image')} of {counted(len(survey.classes), 'class')}: {shown}"
    return Finding("images", "ok", told)


def _unread(survey: Survey, config: DataConfig) -> Iterator[Finding]:
    if survey.broken:
        told = f"{counted(len(survey.broken), 'file')} cannot be read: {_named(survey.broken)}"
        fix = "repair or remove them"
        if config.on_error == "skip":
            yield Finding(
                "broken files", "warn", f"{told}; data.on_error=skip leaves them out", fix
            )
        else:
            fix += ", or leave them out: data.on_error=skip"
            yield Finding("broken files", "fail", told, fix)
    else:
        yield Finding("broken files", "ok", "every image can be read")
    if survey.left_out and not survey.notes:
        yield Finding("left out", "warn", f"{counted(survey.left_out, 'file')} left out")
    for note in survey.notes:
        yield Finding("left out", "warn", note)


def _named(files: Sequence[Rejected]) -> str:
    more = f" and {len(files) - _NAMED:,} more" if len(files) > _NAMED else ""
    return ", ".join(each.name for each in files[:_NAMED]) + more


def _copies(survey: Survey, copies: Sequence[Copies]) -> Iterator[Finding]:
    if not copies:
        yield Finding("duplicates", "ok", "no image has a duplicate, exact or near")
        return
    leaks = [each for each in copies if each.leaks]
    if leaks:
        across = ", ".join(sorted({" and ".join(each.splits) for each in leaks}))
        images = sum(len(each.members) for each in leaks)
        yield Finding(
            "leaks",
            "fail",
            f"{counted(len(leaks), 'group')} of duplicates, {images:,} images, across {across}",
            "leave one of each group: a model is tested on what it was trained on",
        )
    unlike = [each for each in copies if each.disagrees]
    if unlike:
        yield Finding(
            "two labels",
            "warn",
            f"{counted(len(unlike), 'group')} of duplicates with different labels, such as "
            + " and ".join(survey.names[index] for index in unlike[0].members[:2]),
            "give the duplicates one label, or remove them",
        )
    exact = sum(each.exact for each in copies)
    images = sum(len(each.members) for each in copies)
    yield Finding(
        "duplicates",
        "warn",
        f"{counted(len(copies), 'group')} of duplicates, {counted(images, 'image')}: "
        f"{exact:,} exact, {len(copies) - exact:,} near",
        None if leaks or unlike else "nothing: those of a group stay in one split",
    )


def _plain(survey: Survey) -> Iterator[Finding]:
    plain = plain_images(survey)
    if plain:
        told = f"{counted(len(plain), 'image')} of a single shade or nearly, such as "
        yield Finding(
            "plain", "warn", told + survey.names[plain[0]], "look whether they are images"
        )


def plain_images(survey: Survey) -> list[int]:
    """The images that show next to nothing, by their indices."""
    return [int(index) for index in np.flatnonzero(survey.contrast < LEAST_CONTRAST)]


def _sizes(survey: Survey, config: DataConfig) -> Iterator[Finding]:
    if survey.sizes is None:
        return
    small = int((survey.sizes.min(axis=1) < config.image_size).sum())
    if small:
        side = config.image_size
        told = f"{share(small, len(survey))} are smaller than {side} pixels, and are enlarged"
        yield Finding("sizes", "ok", told)
    ratio = survey.sizes.max(axis=1) / np.maximum(survey.sizes.min(axis=1), 1)
    long = int((ratio > ELONGATED).sum())
    if long:
        told = f"{share(long, len(survey))} are more than {ELONGATED:g} times as long as wide"
        yield Finding("aspect", "warn", f"{told}: less than half of each is seen", _CUT)


def _balance(survey: Survey, division: Division | None) -> Iterator[Finding]:
    """How many images each class has to train on, as far as it is known how they are split."""
    counts = survey.counts()
    if division is not None and division.error is None:
        counts = division.counts
    elif division is not None:
        counts = np.repeat(counts.sum(axis=1, keepdims=True), counts.shape[1], axis=1)
    rows = tuple(map(tuple, counts.tolist()))
    warnings = Balance(survey.classes, rows, survey.has_several).warnings()
    for line in warnings:
        yield Finding("balance", "warn", line)
    if not warnings:
        train = counts[:, 0]
        told = f"{train.min():,} to {train.max():,} training images a class"
        yield Finding("balance", "ok", told)


def _division(division: Division) -> Iterator[Finding]:
    if division.error is not None:
        yield Finding("split", "fail", division.error)
        return
    train, val, test = division.images
    told = f"a search would train on {train:,}, validate on {val:,} and test on {test:,}"
    yield Finding("split", "ok", told)
    for note in division.notes:
        yield Finding("split", "warn", note)


def counted(number: int, what: str) -> str:
    """A number of things: `1 image`, `2 classes`."""
    plural = "es" if what.endswith("s") else "s"
    return f"{number:,} {what}{'' if number == 1 else plural}"


def share(number: int, of: int) -> str:
    """A number of images and its share of all."""
    return f"{counted(number, 'image')} of {of:,} ({number / of:.0%})"
