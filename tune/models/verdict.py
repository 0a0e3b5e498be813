"""The gate's decision on a challenger, and its reason in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tune.models.comparison import Comparison

Rule = Literal["better", "not-worse", "always", "never"]


@dataclass(frozen=True)
class Rival:
    """A model that a challenger was compared with.

    Attributes:
        version: Its version.
        role: What it is: the champion, or the best one so far.
        comparison: On the same images.
    """

    version: int
    role: str
    comparison: Comparison

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.role} (version {self.version})"


@dataclass(frozen=True)
class Verdict:
    """A decision.

    Attributes:
        promoted: Whether the challenger becomes the champion.
        reason: In words.
    """

    promoted: bool
    reason: str


def decide(rule: Rule, margin: float, rivals: Sequence[Rival], judged: int = 1) -> Verdict:
    """Decide on a challenger.

    Args:
        rule: `better` if it is significantly better than each rival, `not-worse` if it is shown to
            be worse than none of them by more than the margin, `always` or `never`.
        margin: In the objective's own units.
        rivals: The champion, and the best champion so far if that is another.
        judged: How many models have been judged by these images, this one included.
    """
    failed = [rival for rival in rivals if not _passes(rule, margin, rival.comparison)]
    promoted = rule == "always" or (rule != "never" and not failed)
    word = "promoted" if promoted else "not promoted"
    told = rivals if promoted or not failed else failed[:1]
    comparison = told[0].comparison
    lines = [
        *(_shown(rule, margin, rival) for rival in told),
        comparison.figures(told[0].name),
        "" if promoted else _too_few(rule, margin, comparison),
        _worn(rule, judged, comparison.alpha),
    ]
    return Verdict(promoted, f"{word} ({rule}): {'; '.join(line for line in lines if line)}")


def _passes(rule: Rule, margin: float, comparison: Comparison) -> bool:
    if rule == "better":
        return comparison.is_significant and comparison.is_better
    return comparison.most_lost <= margin


def _shown(rule: Rule, margin: float, rival: Rival) -> str:
    """What was shown of a challenger beside a rival, in the words of the rule."""
    found = rival.comparison
    if rule == "better":
        significantly = "" if _passes(rule, margin, found) else "not significantly "
        return f"{significantly}better than {rival.name}"
    words = found.in_words(rival.name)
    if rule != "not-worse":
        return words
    verb = "allows" if _passes(rule, margin, found) else "allows only"
    return f"{words}, and registry.margin {verb} {found.points(margin)}"


def _too_few(rule: Rule, margin: float, comparison: Comparison) -> str:
    """What the images could not have shown, had the two been equally good."""
    if rule != "not-worse" or comparison.smallest <= margin:
        return ""
    points = comparison.points(comparison.smallest)
    return f"of two equally good models, so few images could show no less than {points}"


def _worn(rule: Rule, judged: int, alpha: float) -> str:
    """A warning that images which judge again and again are wrong by chance now and then.

    By Bonferroni's inequality, which bounds the confidence from below.
    """
    if judged < 2 or rule in ("always", "never"):
        return ""
    images, together = f"{judged} models have been judged by these images", 1 - judged * alpha
    decisions, advice = "in all of these decisions together", ": it is time for new test images"
    if together < 1e-9:
        return f"{images}, too many for any confidence {decisions}{advice}"
    return (
        f"{images}, which leaves at least {100 * together:.4g} % confidence {decisions}"
        f"{'' if together >= 0.5 else advice}"
    )
