"""How far the surrogates can be believed: by records that they have not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from curves import Surrogate
from rows import FULL, file_of, read
from scipy.stats import spearmanr
from tasks import LENGTHS, TASKS

FOLDS: Final = 5
LANDSCAPES: Final = 40
VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "extra trees, engineered features": {},
    "extra trees, plain features": {"engineered": False},
    "random forest, engineered": {"forest": "random"},
}
"""What the surrogate was chosen from; the first is used."""
HEADER: Final = (
    f"{'rank':>6s} {'rank':>6s} {'top':>6s} {'error':>6s} {'within':>7s} {'apart':>11s} "
    f"{'epoch':>7s} {'trees':>6s} {'configs':>8s}"
)


def validate(folder: Path) -> None:
    """Print it for each task and variant."""
    print(__doc__)
    print(f"{FOLDS} folds over the configs. rank: correlation (Spearman) of predicted and recorded")
    print("test accuracy of the longest schedule, and of validation accuracy after its second")
    print("epoch; top: the same as the first, among the better half; error: mean absolute, in")
    print("points of test accuracy; within: how often the recorded one lies within the middle 80 %")
    print("of what landscapes answer; apart: standard deviation of validation less test accuracy,")
    print("in points, as answered / as recorded; epoch: median ratio of predicted and recorded")
    print("seconds of an epoch, off by so many percent either way.")
    for name, given in VARIANTS.items():
        print(f"\n{name:36s} {HEADER}")
        for task in TASKS:
            path = file_of(folder, task)
            if path.exists():
                _print(task, held_out(read(path), given))


def held_out(records: Sequence[Mapping[str, Any]], given: Mapping[str, Any]) -> dict[str, float]:
    """What surrogates say of records that they have not seen.

    Args:
        records: A task's.
        given: What surrogates are made with.
    """
    numbers = sorted({record["number"] for record in records})
    found = list[dict[str, Any]]()
    for fold in range(min(FOLDS, len(numbers))):
        hidden = set(numbers[fold::FOLDS])
        known = Surrogate([r for r in records if r["number"] not in hidden], **given)
        found += _answers(known, [r for r in records if r["number"] in hidden])
    column = {key: np.array([each[key] for each in found]) for key in found[0]}
    better = column["test"] >= np.median(column["test"])
    drawn_apart = column["drawn_apart"].ravel()
    return {
        "rank": _rank(column["expected"], column["test"]),
        "early": _rank(column["expected_early"], column["early"]),
        "top": _rank(column["expected"][better], column["test"][better]),
        "error": 100 * float(np.abs(column["expected"] - column["test"]).mean()),
        "within": float(
            ((column["low"] <= column["test"]) & (column["test"] <= column["high"])).mean()
        ),
        "drawn_apart": 100 * float(drawn_apart.std()),
        "apart": 100 * float(column["apart"].std()),
        "seconds": 100 * float(np.median(np.abs(np.log(column["seconds"])))),
        "trees": Surrogate(records, **given).breadth,
        "configs": len(found),
    }


def _answers(known: Surrogate, records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    whole = [
        record
        for record in records
        if record["length"] == FULL and len(record["epochs"]) == FULL and not record.get("again")
    ]
    landscapes = [known.landscape(seed) for seed in range(LANDSCAPES)]
    found = []
    for record in whole:
        params, last = record["params"], record["epochs"][-1]
        test = [e["test_acc"] for e in record["epochs"] if "test_acc" in e][-1]
        answered = [landscape(params) for landscape in landscapes]
        tests = [each[-1 + FULL]["test_acc"] for each in answered]
        low, high = np.quantile(tests, [0.1, 0.9])
        early = min(LENGTHS) - 1
        found.append(
            {
                "test": test,
                "expected": float(known.expected_test([params])[0]),
                "early": record["epochs"][early]["val_acc"],
                "expected_early": float(np.mean([each[early]["val_acc"] for each in answered])),
                "low": low,
                "high": high,
                "apart": last["val_acc"] - test,
                "drawn_apart": [e[FULL - 1]["val_acc"] - e[FULL - 1]["test_acc"] for e in answered],
                "seconds": known.seconds.epoch(params)
                / max(float(np.median([e["seconds"] for e in record["epochs"]])), 1e-3),
            }
        )
    return found


def _rank(one: Any, other: Any) -> float:
    return float(spearmanr(one, other).statistic)


def _print(task: str, found: Mapping[str, float]) -> None:
    apart = f"{found['drawn_apart']:.1f} / {found['apart']:.1f}"
    print(
        f"  {task:34s} {found['rank']:6.2f} {found['early']:6.2f} {found['top']:6.2f} "
        f"{found['error']:6.1f} {found['within']:7.0%} {apart:>11s} {found['seconds']:6.0f}% "
        f"{found['trees']:6.0f} {found['configs']:8.0f}"
    )
