"""How much ten challenges in a row can lose, and how often a better model is promoted.

    python benchmarks/promotion.py     # about ten minutes on one core; --quick: fewer repetitions

Models are simulated, and judged by the gate's own arithmetic. A model is right about an image with
a probability that depends on its skill and on the image's difficulty, so that two models of 90 %
disagree on 9 % of the images. Two questions, for rules and numbers of test images:

- *lost*: ten challengers, each truly worse than the champion of its time by the same amount. The
  champion's true accuracy at the end, less that at the start, on average; of 0.5, 1, 2 and 5
  points, by that which does most harm. All are judged by the same test images.
- *promoted*: one challenger that is truly better by 0, 1, 2 or 5 points.
- *honest*: ten challengers that differ from the champion of their time by chance (0 +- 1.5 points).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm

from tune.models.bound import most_lost

Answers = NDArray[np.bool_]
Numbers = NDArray[np.float64]

SPREAD: Final = 2.0
"""The standard deviation of the images' difficulties, in probits."""
START: Final = 0.9
"""The true accuracy of the first champion."""
CHALLENGES: Final = 10
ALPHA: Final = 0.05
IMAGES: Final = {49: 2000, 360: 2000, 2000: 400, 10_000: 80}
"""Numbers of test images, each with how often it is repeated."""
HARMS: Final = (0.005, 0.01, 0.02, 0.05)
GAINS: Final = (0.0, 0.01, 0.02, 0.05)


@dataclass(frozen=True)
class Rule:
    """How a challenger is judged.

    Attributes:
        name: For the table.
        margin: What it may be worse; None asks McNemar's test whether it is significantly worse.
        with_best: Whether it is compared with the best champion so far too.
        corrects: Whether the k-th challenge gets `alpha / (k (k + 1))` of the error.
    """

    name: str
    margin: float | None
    with_best: bool = True
    corrects: bool = False

    def passes(self, rivals: list[Answers], challenger: Answers, number: int) -> Answers:
        """Whether each repetition's challenger is promoted."""
        alpha = ALPHA / (number * (number + 1)) if self.corrects else ALPHA
        passed = np.ones(len(challenger), bool)
        for rival in rivals if self.with_best else rivals[:1]:
            lost, won = (rival & ~challenger).sum(1), (challenger & ~rival).sum(1)
            if self.margin is None:
                p_value = 2 * binom.cdf(np.minimum(lost, won), lost + won, 0.5)
                passed &= (won > lost) | (p_value >= alpha)
            else:
                passed &= most_lost(lost, won, challenger.shape[1], alpha) <= self.margin
        return passed


RULES: Final = (
    Rule("not significantly worse than the last (until now)", None, with_best=False),
    *(Rule(f"margin {100 * m:g}, last", m, with_best=False) for m in (0.005, 0.01, 0.02)),
    *(Rule(f"margin {100 * m:g}, last and best", m) for m in (0.005, 0.01, 0.02, 0.03)),
    Rule("margin 1, last and best, corrected", 0.01, corrects=True),
)


def main() -> None:
    """Print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    part = 10 if parser.parse_args().quick else 1
    print(f"{'rule':50s} {'images':>6s} {'lost':>7s} {'promoted: +0 +1 +2 +5':>27s} {'honest':>7s}")
    figures: dict[str, dict[int, dict[str, object]]] = {}
    for images, repetitions in IMAGES.items():
        for rule in RULES:
            found = measure(rule, images, repetitions // part)
            figures.setdefault(rule.name, {})[images] = found
            shares = " ".join(f"{share:6.0%}" for share in found["promoted"])  # type: ignore[attr-defined]
            print(
                f"{rule.name:50s} {images:6d} {found['lost']:7.2f} {shares} {found['honest']:7.2f}",
                flush=True,
            )
    print(json.dumps(figures))


def measure(rule: Rule, images: int, repetitions: int) -> dict[str, object]:
    """The answers to the three questions, in points and shares."""

    def chain(
        by: Callable[[np.random.Generator], Numbers | float], count: int
    ) -> tuple[float, float]:
        return challenge(rule, images, repetitions, by, count)

    lost = min(chain(lambda _, harm=harm: -harm, CHALLENGES)[0] for harm in HARMS)  # type: ignore[misc]
    promoted = [chain(lambda _, gain=gain: gain, 1)[1] for gain in GAINS]  # type: ignore[misc]
    honest, _ = chain(lambda draw: draw.normal(0, 0.015, repetitions), CHALLENGES)
    return {
        "lost": round(lost, 2),
        "promoted": [round(share, 3) for share in promoted],
        "honest": round(honest, 2),
    }


def challenge(
    rule: Rule,
    images: int,
    repetitions: int,
    by: Callable[[np.random.Generator], Numbers | float],
    count: int,
) -> tuple[float, float]:
    """Challenge a champion again and again.

    Args:
        rule: Judges.
        images: The number of test images.
        repetitions: How many such chains there are.
        by: How much better a challenger is than the champion of its time.
        count: The challenges.

    Returns:
        The change of the true accuracy in points, and the share of challengers that were promoted.
    """
    draw = np.random.default_rng(images)
    difficulty = draw.standard_normal((repetitions, images), np.float32) * SPREAD
    true = np.full(repetitions, START)
    champion = answers(true, difficulty, draw)
    best, promoted = champion.copy(), 0.0
    for number in range(1, count + 1):
        new = np.clip(true + by(draw), 0.01, 0.999)
        challenger = answers(new, difficulty, draw)
        passed = rule.passes([champion, best], challenger, number)
        promoted += passed.mean() / count
        champion = np.where(passed[:, None], challenger, champion)
        true = np.where(passed, new, true)
        is_best = champion.sum(1) > best.sum(1)
        best = np.where(is_best[:, None], champion, best)
    return 100 * float(true.mean() - START), float(promoted)


def answers(
    accuracy: Numbers, difficulty: NDArray[np.float32], draw: np.random.Generator
) -> Answers:
    """Whether models of a true accuracy are right about images."""
    skill = norm.ppf(accuracy) * (1 + SPREAD**2) ** 0.5
    noise = draw.standard_normal(difficulty.shape, np.float32)
    return noise < skill[:, None].astype(np.float32) - difficulty


if __name__ == "__main__":
    main()
