"""What is found of images, as one page that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from trainable.base.text import printable
from trainable.data.parts import SPLITS
from tune.base.finding import Finding
from tune.reporting.pictures import Picture, picture
from tune.reporting.sheets import contact_sheets, policy_sheets
from tune.reporting.templating import template
from tune.soundness.account import Account
from tune.soundness.copies import Copies
from tune.soundness.judging import counted, plain_images
from tune.soundness.labels import Doubt, described
from tune.soundness.survey import NO_LABEL, Rejected, Survey

GALLERY: Final = 100
"""The doubtful images that are shown."""
_GROUPS: Final = 50
"""Groups of duplicates that are shown."""
_OF_A_GROUP: Final = 6
"""Images of a group that are shown."""
_FILES: Final = 500
"""Files that are listed."""
_PLAIN: Final = 24
"""Images of a single shade that are shown."""
_SIDE: Final = 96
"""The side of a picture, in pixels."""
_BAR: Final = 16
"""The length of the longest bar, in letters."""


def data_page(account: Account, doubts: Sequence[Doubt] = (), how: str = "") -> str:
    """What is found of images, as HTML.

    Args:
        account: What is found.
        doubts: The images whose label is doubtful, if they were looked for.
        how: By what, in words.
    """
    survey, config = account.survey, account.config
    sheets = contact_sheets(survey)
    plain = plain_images(survey)
    return template("data.html").render(
        name=printable(account.name),
        about=f"data.source={config.source}: {counted(len(survey), 'image')}",
        findings=shown_findings(account.findings),
        classes=_classes(account),
        split=_split(account),
        sizes={what: [f"{v:g}" for v in values] for what, values in account.sizes().items()},
        broken=_listed(survey.broken),
        groups=[_group(survey, copies) for copies in account.copies[:_GROUPS]],
        more_groups=max(0, len(account.copies) - _GROUPS),
        plain=[_picture(survey, index) for index in plain[:_PLAIN]],
        doubts=doubt_gallery(survey, doubts, how) if doubts else None,
        sheets=sheets,
        more_classes=len(survey.classes) - len(sheets),
        side=config.image_size,
        policies=policy_sheets(survey, config),
    )


def shown_findings(findings: Sequence[Finding]) -> list[Finding]:
    """Findings whose names of files are text on one line."""
    return [Finding(each.name, each.state, printable(each.message), each.fix) for each in findings]


def doubt_gallery(survey: Survey, doubts: Sequence[Doubt], how: str) -> dict[str, Any]:
    """The most doubtful images with their labels and what the models say instead."""
    more = f" The first {GALLERY} are shown." if len(doubts) > GALLERY else ""
    about = f"{counted(len(doubts), 'image')} of {how}.{more}"
    pictures = [
        _picture(survey, doubt.index, described(doubt, survey)) for doubt in doubts[:GALLERY]
    ]
    return {"about": about, "pictures": pictures}


def _picture(survey: Survey, index: int, note: str = "") -> Picture:
    return picture(survey.read(index), survey.names[index], note, _SIDE)


def _class(survey: Survey, index: int) -> str:
    return survey.label_of(index) or NO_LABEL


def _classes(account: Account) -> list[dict[str, Any]]:
    """Each class's images as they lie there and as a search would split them, and a bar."""
    survey, division = account.survey, account.division
    there = survey.counts()
    searched = there[:, :0] if division is None or division.error else division.counts
    most = max(1, int(there.sum(axis=1).max()))
    return [
        {
            "name": printable(name),
            "counts": [f"{count:,}" for count in (*row, *split)],
            "share": round(_BAR * int(row.sum()) / most, 2),
        }
        for name, row, split in zip(survey.classes, there, searched, strict=True)
    ]


def _split(account: Account) -> str:
    """What a search would make of the splits, where it has not split the images yet."""
    if account.division is None:
        return "As the search has split them."
    if account.division.error is not None:
        return "A search could not split them."
    train, val, test = account.division.images
    return f"A search would train on {train:,}, validate on {val:,} and test on {test:,} of them."


def _listed(files: Sequence[Rejected]) -> dict[str, Any]:
    shown = [Rejected(printable(each.name), printable(each.reason)) for each in files[:_FILES]]
    return {"files": shown, "more": max(0, len(files) - _FILES)}


def _group(survey: Survey, copies: Copies) -> dict[str, Any]:
    kind = "exact duplicates" if copies.exact else "near duplicates"
    told = [f"{len(copies.members)} {kind}"]
    if copies.leaks:
        told.append(f"in {' and '.join(copies.splits)}")
    if copies.disagrees:
        told.append(f"called {printable(' and '.join(copies.classes))}")
    pictures = [
        _picture(survey, index, f"{SPLITS[survey.splits[index]]}, {_class(survey, index)}")
        for index in copies.members[:_OF_A_GROUP]
    ]
    more = max(0, len(copies.members) - _OF_A_GROUP)
    return {"title": ", ".join(told), "pictures": pictures, "more": more}
