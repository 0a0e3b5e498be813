"""The images themselves: some of each class, and what each augmentation policy makes of twelve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.augment.views import Views
from trainable.base.text import printable
from trainable.config import DataConfig
from trainable.registries import POLICIES
from tune.reporting.pictures import Picture, picture
from tune.soundness.survey import Survey

PER_CLASS: Final = 12
"""The images of a class that are shown at most."""
MOST: Final = 480
"""The images that are shown of all classes together at most."""
TWELVE: Final = 12
"""The images that each policy is shown on."""
_SIDE: Final = 96
"""The side of a picture of a class, in pixels."""


@dataclass(frozen=True)
class Sheet:
    """Pictures under a title.

    Attributes:
        title: A class's name, or a policy's.
        pictures: What it shows.
        note: What else is to be said.
    """

    title: str
    pictures: tuple[Picture, ...]
    note: str = ""


def contact_sheets(survey: Survey) -> list[Sheet]:
    """Some images of each class, spread over it; of very many classes, of some."""
    classes = range(len(survey.classes))
    if len(classes) > MOST:
        classes = np.linspace(0, len(classes) - 1, MOST).astype(int).tolist()
    count = max(1, min(PER_CLASS, MOST // len(classes)))
    return [_of_class(survey, label, count) for label in classes]


def policy_sheets(survey: Survey, config: DataConfig) -> list[Sheet]:
    """The same twelve images under each policy, at the size that the network sees."""
    chosen = twelve(survey)
    stored = np.stack([survey.read(index) for index in chosen])
    images = torch.from_numpy(stored).permute(0, 3, 1, 2).contiguous()
    names = [survey.names[index] for index in chosen]
    return list(_under_policies(images, names, config))


def twelve(survey: Survey) -> list[int]:
    """Twelve images of as many classes as there are, or all if they are fewer, by their indices."""
    by_class = [
        _spread(np.flatnonzero(survey.labels == label), TWELVE)
        for label in range(len(survey.classes))
    ]
    rows = [row for row in by_class if row]
    depth = max(map(len, rows))
    every = [row[turn] for turn in range(depth) for row in rows if turn < len(row)]
    return every[:TWELVE]


def _of_class(survey: Survey, label: int, count: int) -> Sheet:
    indices = np.flatnonzero(survey.labels == label)
    pictures = [
        picture(survey.read(index), survey.names[index], side=_SIDE)
        for index in _spread(indices, count)
    ]
    return Sheet(printable(survey.classes[label]), tuple(pictures), f"{len(indices):,}")


def _spread(indices: NDArray[np.int64], count: int) -> list[int]:
    """At most so many of some indices, evenly spread."""
    if len(indices) <= count:
        return indices.tolist()
    return indices[np.linspace(0, len(indices) - 1, count).astype(int)].tolist()


def _under_policies(images: torch.Tensor, names: list[str], config: DataConfig) -> Iterator[Sheet]:
    for name in POLICIES:
        views = Views(images, "contact sheet", name, config.image_size, mirror=config.mirrors)
        if views.augmentation.needs_mirror and not config.mirrors:
            yield Sheet(name, (), "not with this data: a mirrored image would be of another class")
            continue
        rendition = views.renditions_of(0)[-1]  # of `flip`, the mirrored one
        rendered = views.render(rendition, 0, len(views)).permute(0, 2, 3, 1).numpy()
        shown = (picture(pixels, of) for pixels, of in zip(rendered, names, strict=True))
        yield Sheet(name, tuple(shown))
