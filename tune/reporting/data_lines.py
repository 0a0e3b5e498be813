"""What is found of images, in the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainable.base.text import printable
from trainable.data.parts import SPLITS
from tune.soundness.account import Account
from tune.soundness.labels import Doubt, described
from tune.soundness.survey import Survey

COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}
_CLASSES: Final = 30
"""Classes whose images are counted in the terminal."""
_NAMES: Final = 10
"""Files that are named in the terminal."""
_NAME: Final = 14
"""The width of a finding's name."""


def print_account(account: Account, console: Console) -> None:
    """Print what is found of images: counts, sizes, and then what is to be said of them."""
    console.print(_counts(account))
    for what, values in account.sizes().items():
        low, middle, high = (f"{value:g}" for value in values)
        console.print(f"{what:8s} {low} to {high}, median {middle}")
    console.print()
    for finding in account.findings:
        console.print(f"{finding.state:5s}", style=COLOURS[finding.state], end=" ")
        message = f"{finding.name:{_NAME}s} {printable(finding.message)}"
        console.print(message, soft_wrap=True)
        if finding.fix is not None:
            console.print(f"{'':20s} -> {finding.fix}", soft_wrap=True)
    _print_broken(account, console)


def print_doubts(account: Account, doubts: Sequence[Doubt], how: str, console: Console) -> None:
    """Print the most doubtful labels."""
    survey = account.survey
    console.print(f"\nlabels: {len(doubts):,} are doubtful, of {how}", soft_wrap=True)
    for doubt in doubts[:_NAMES]:
        told = f"  {survey.names[doubt.index]}: {described(doubt, survey)}"
        console.print(printable(told), soft_wrap=True)
    if len(doubts) > _NAMES:
        console.print(f"  and {len(doubts) - _NAMES:,} more")


def doubts_as_json(account: Account, doubts: Sequence[Doubt], how: str) -> dict[str, Any]:
    """The doubtful labels, as JSON can hold them."""
    survey = account.survey
    found = [
        {
            "image": survey.names[doubt.index],
            "split": SPLITS[int(survey.splits[doubt.index])],
            "class": survey.label_of(doubt.index),
            "suggested": survey.joined(doubt.suggested),
            "probability": round(doubt.probability, 6),
            **_doubted(doubt, survey),
        }
        for doubt in doubts
    ]
    return {"doubtful": found, "judged": how}


def _doubted(doubt: Doubt, survey: Survey) -> dict[str, Any]:
    """Of any number of labels, those that are doubted, with the probability that each is wrong."""
    wrong = {survey.classes[label]: round(value, 6) for label, value in doubt.doubted}
    return {"doubted": wrong} if wrong else {}


def _counts(account: Account) -> Table:
    survey = account.survey
    table = Table("class", box=None)
    for name in ("train", "val", "test"):
        table.add_column(name, justify="right")
    for name, row in list(zip(survey.classes, survey.counts(), strict=True))[:_CLASSES]:
        table.add_row(Text(printable(name)), *(f"{count:,}" if count else "·" for count in row))
    if len(survey.classes) > _CLASSES:
        table.add_row(f"and {len(survey.classes) - _CLASSES:,} more", "", "", "")
    return table


def _print_broken(account: Account, console: Console) -> None:
    for each in account.survey.broken[:_NAMES]:
        console.print(printable(f"  {each.name}: {each.reason}"), soft_wrap=True)
    if len(account.survey.broken) > _NAMES:
        more = len(account.survey.broken) - _NAMES
        console.print(f"  and {more:,} more, which --json names")
