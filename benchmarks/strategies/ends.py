"""What the ends of a search are worth, by what the best configs of each task recorded.

    python benchmarks/strategies/ends.py

Test accuracies, and what each way has more in points, mean and standard deviation over configs:

- *run*: the mean of a config's runs under other seeds than that by which it was among the best;
- *refit*: trained on training and validation images together, mean of two; *averaged*: the mean of
  their weights;
- *taken*: of three runs the one that validated best, or their greedy soup if that validates better.

And the rank correlation of test accuracies (of runs) with what a search may choose a config by: its
own validation accuracy, the mean of four runs under other seeds (which are those of the test
accuracies, and so have their luck), the mean over five folds. Of eight configs, it says little.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev

from portfolio import CURVES
from rows import FOLDED, FULL, Record, again_runs, file_of, read
from scipy.stats import ConstantInputWarning, spearmanr, ttest_1samp
from tasks import TASKS

Score = Callable[[Sequence[Record]], float]


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--curves", type=Path, default=CURVES)
    folder = parser.parse_args().curves
    found = {task: gains(folder, task) for task in TASKS if file_of(folder / FOLDED, task).exists()}
    print(f"{'':14s} {'run':>6s} " + " ".join(f"{name:>14s}" for name in ENDS))
    for task, (runs, by_end) in found.items():
        print(f"{task:14s} {mean(runs):6.3f} " + " ".join(_gain(by_end[name]) for name in ENDS))
    for name in ENDS:
        means = [mean(by_end[name]) for _, by_end in found.values()]
        p = ttest_1samp(means, 0).pvalue if len(means) > 1 else float("nan")
        print(f"{name:14s} {100 * mean(means):+.2f} points on average over tasks, p = {p:.2f}")
    print(f"\n{'':14s} {'itself':>8s} {'seeds':>8s} {'folds':>8s}")
    for task in found:
        print(f"{task:14s} " + " ".join(f"{each:8.2f}" for each in correlations(folder, task)))


def _refit(runs: Sequence[Record]) -> list[float]:
    return [
        mean([run["epochs"][-1]["test_acc"], run["other_acc"]]) for run in runs if "soup_acc" in run
    ]


def _averaged(runs: Sequence[Record]) -> list[float]:
    return [run["soup_acc"] for run in runs if "soup_acc" in run]


def _taken(runs: Sequence[Record]) -> list[float]:
    return [run["taken_acc"] for run in runs if "taken_acc" in run]


ENDS = {"refit": _refit, "averaged": _averaged, "taken": _taken}


def gains(folder: Path, task: str) -> tuple[list[float], dict[str, list[float]]]:
    """Of each config the accuracy of a run, and what each end has more."""
    plain, folded = read(file_of(folder, task)), read(file_of(folder / FOLDED, task))
    runs = {number: mean(_tests(again)) for number, again in again_runs(plain).items()}
    by_end: dict[str, list[float]] = {name: [] for name in ENDS}
    for number, run in runs.items():
        own = [record for record in folded if record["number"] == number]
        for name, of in ENDS.items():
            by_end[name] += [accuracy - run for accuracy in of(own)]
    return list(runs.values()), by_end


def correlations(folder: Path, task: str) -> list[float]:
    """How well each score ranks a task's configs, by the test accuracy of their runs."""
    plain, folded = read(file_of(folder, task)), read(file_of(folder / FOLDED, task))
    on_folds = {
        number: [
            r["epochs"][-1]["val_acc"] for r in folded if r["number"] == number and "/" in r["fold"]
        ]
        for number in again_runs(plain)
    }
    has_folds = any(on_folds.values())
    again = {n: runs for n, runs in again_runs(plain).items() if on_folds[n] or not has_folds}
    tests = [mean(_tests(runs)) for runs in again.values()]
    first = {r["number"]: _best(r) for r in plain if r["length"] == FULL and not r.get("again")}
    scores = [
        [first[number] for number in again],
        [mean(map(_best, runs)) for runs in again.values()],
        [mean(on_folds[number]) for number in again] if has_folds else [],
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        return [float(spearmanr(s, tests).statistic) if s else float("nan") for s in scores]


def _best(run: Record) -> float:
    return float(max(epoch["val_acc"] for epoch in run["epochs"]))


def _tests(runs: Sequence[Record]) -> list[float]:
    """The test accuracy of each run after its best epoch."""
    return [
        [epoch["test_acc"] for epoch in run["epochs"] if "test_acc" in epoch][-1] for run in runs
    ]


def _gain(values: Sequence[float]) -> str:
    return f"{100 * mean(values):+6.2f} +- {100 * stdev(values):4.2f}"


if __name__ == "__main__":
    main()
