"""All that is found of the images of a source, or of a search."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainable.config import DataConfig
from trainable.data.decoding.files import open_images
from trainable.data.parts import SPLITS
from trainable.runtime import ImageCache
from tune.base.finding import Finding
from tune.soundness.copies import Copies, find_copies
from tune.soundness.division import Division, divide
from tune.soundness.judging import judge, plain_images
from tune.soundness.reading import survey
from tune.soundness.survey import Survey


@dataclass(frozen=True, eq=False)
class Account:
    """What is found of images.

    Attributes:
        config: The data section of the config that names them.
        survey: The images.
        copies: Their duplicates.
        findings: What is to be said of them, in a line each.
        division: How a search would split them; None where one has.
    """

    config: DataConfig
    survey: Survey
    copies: tuple[Copies, ...]
    findings: tuple[Finding, ...]
    division: Division | None = None

    @property
    def name(self) -> str:
        """What the images are called."""
        return str(self.config.root or self.config.source)

    @property
    def fails(self) -> bool:
        """Whether a search could not run on them, or its result would not hold."""
        return any(finding.state == "fail" for finding in self.findings)

    def sizes(self) -> dict[str, list[float]]:
        """The smallest, the median and the largest width, height and aspect; empty if unknown."""
        sizes = self.survey.sizes
        if sizes is None:
            return {}
        width, height = sizes.T.astype(float)
        measured = {"width": width, "height": height, "aspect": width / np.maximum(height, 1)}
        return {name: _spread(values) for name, values in measured.items()}

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        survey, searched = self.survey, self.division
        return {
            "source": self.config.source,
            "root": None if self.config.root is None else str(self.config.root),
            "images": len(survey),
            "classes": _by_class(survey.classes, survey.counts()),
            "searched": None
            if searched is None or searched.error
            else _by_class(survey.classes, searched.counts),
            "sizes": self.sizes(),
            "broken": [asdict(each) for each in survey.broken],
            "left_out": survey.left_out,
            "notes": list(survey.notes),
            "leaks": sum(each.leaks for each in self.copies),
            "two_labels": sum(each.disagrees for each in self.copies),
            "duplicates": [self._copies_as_json(each) for each in self.copies],
            "plain": [survey.names[index] for index in plain_images(survey)],
            "findings": [asdict(finding) for finding in self.findings],
        }

    def _copies_as_json(self, copies: Copies) -> dict[str, Any]:
        survey = self.survey
        members = [
            {
                "image": survey.names[index],
                "split": SPLITS[survey.splits[index]],
                "class": survey.label_of(index),
            }
            for index in copies.members
        ]
        return {"exact": copies.exact, "splits": list(copies.splits), "images": members}


def examine(config: DataConfig, cache: ImageCache) -> Account:
    """Look at every image of a source.

    Args:
        config: Names the source.
        cache: Where what is found of files is stored, for the next time and for a search.

    Raises:
        ConfigError: The source cannot be listed, or no image of it can be read.
    """
    surveyed = survey(config, open_images(cache))
    copies, division = find_copies(surveyed), divide(surveyed, config)
    findings = judge(surveyed, config, copies, division)
    return Account(config, surveyed, tuple(copies), tuple(findings), division)


def account_of(config: DataConfig, surveyed: Survey) -> Account:
    """The same of images that a search has split."""
    copies = find_copies(surveyed)
    return Account(config, surveyed, tuple(copies), tuple(judge(surveyed, config, copies)))


def _spread(values: NDArray[np.float64]) -> list[float]:
    return [round(float(each), 3) for each in (values.min(), np.median(values), values.max())]


def _by_class(classes: tuple[str, ...], counts: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    return {
        name: {split: int(row[number]) for number, split in enumerate(SPLITS)}
        for name, row in zip(classes, counts, strict=True)
    }
