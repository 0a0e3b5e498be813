"""Whether to train the winner again on training and validation images together.

    TUNE_REAL_DATA=FOLDER python benchmarks/refit.py      # some hours on two cores
    TUNE_REAL_DATA=FOLDER python benchmarks/refit.py --short --only hymenoptera
    TUNE_REAL_DATA=FOLDER python benchmarks/refit.py --quick --only cifar10_500

`TUNE_REAL_DATA` is a folder that holds `data/` and `weights/`. For each task, training sets are
drawn anew, `--draws` times, with other images for the test. On each, for each depth:

- *single*: trained on the training split, 80 % of the images, and taken after the epoch that was
  the best on the validation split. Two seeds.
- *refit*: trained on all the images, and taken after its last epoch; after the one that was the
  best on average over five folds; or after the one that the single's validation chose.
- *soup*: the weights of the seeds averaged, of singles and of refits.

Test accuracies are means over the seeds; gains are paired over draws and depths. And beside them
how far off the single's test accuracy an estimate is, its best validation accuracy and the mean
over folds; and what a refit's probabilities are worth (cross-entropy, expected calibration error),
by itself and with the single's temperature. `--short` leaves the folds, the soup and the
second seed out. The images for the test are drawn from the archive's training images (for
hymenoptera, from all), and serve this page alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Final

from small_data import (
    Point,
    Task,
    best_of,
    compare,
    curve,
    forget,
    options,
    paired,
    tuner_of,
)
from torch import Tensor

from trainable.base.folds import ALL
from trainable.config import TrialConfig
from trainable.inference.calibration import NONE
from trainable.judging.predictions import Predictions
from trainable.network.soup import average
from tune.models.candidates import lent_calibration

SEEDS: Final = 2
FOLDS: Final = 5


def main() -> None:
    """Compare on each task."""
    parser = options(__doc__, 5, "two draws, three epochs")
    parser.add_argument("--short", action="store_true", help="one seed, no folds, no soup")
    given = parser.parse_args()
    epochs = {"epochs": 3} if given.quick else {}
    draws = 2 if given.quick else given.draws
    compare(given, draws, partial(drawing, epochs=epochs, short=given.short), summary)


def drawing(
    task: Task, folder: Path, real: Path, number: int, *, epochs: dict[str, int], short: bool
) -> list[Point]:
    """The test accuracies on one drawing, for each depth."""
    forget()
    images = task.draw(folder, real, number)
    of = measure_short if short else measure
    return [of(task, images, real, depth, epochs, folder / "store") for depth in task.depths]


def measure(
    task: Task, images: Path, real: Path, depth: int, epochs: dict[str, int], store: Path
) -> Point:
    """What each way of training comes to, on one drawing at one depth."""

    def config(seed: int, fold: str | None = None) -> TrialConfig:
        train = {**epochs, "seed": seed}
        return task.config(images, real, depth, data={"fold": fold}, train=train)

    singles = [trained(config(seed), store) for seed in range(SEEDS)]
    folds = [
        list(curve(tuner_of(config(0, f"{fold}/{FOLDS}"), store))) for fold in range(1, FOLDS + 1)
    ]
    over = [{key: mean(f[i][key] for f in folds) for key in f0} for i, f0 in enumerate(folds[0])]
    best, own = best_of(over), singles[0].best
    refits = [trained(config(seed, ALL), store, best, own) for seed in range(SEEDS)]
    return {
        "depth": depth,
        "folds_epochs": best + 1,
        "own_epochs": own + 1,
        "single": mean(one.test for one in singles),
        "single_last": mean(one.last for one in singles),
        "refit": mean(one.last for one in refits),
        "refit_by_folds": mean(one.tests[best] for one in refits),
        "refit_by_own": mean(one.tests[own] for one in refits),
        "soup": soup(config(0), [one.weights for one in singles], store),
        "soup_of_refits": soup(config(0, ALL), [one.weights for one in refits], store),
        **calibrated(singles[0], refits[0]),
        "error_of_validation": abs(singles[0].val - singles[0].test),
        "error_of_folds": abs(over[best]["val_acc"] - singles[0].test),
    }


def measure_short(
    task: Task, images: Path, real: Path, depth: int, epochs: dict[str, int], store: Path
) -> Point:
    """Single and refit of one seed."""
    single = trained(task.config(images, real, depth, train=epochs), store)
    whole = task.config(images, real, depth, data={"fold": ALL}, train=epochs)
    refit = trained(whole, store, single.best)
    return {
        "depth": depth,
        "own_epochs": single.best + 1,
        "single": single.test,
        "single_last": single.last,
        "refit": refit.last,
        "refit_by_own": refit.tests[single.best],
        **calibrated(single, refit),
    }


def calibrated(single: Trained, refit: Trained) -> Point:
    """What a refit's probabilities are worth: by itself, and with what a search lends it."""
    raw, lent = refit.tested, lent_calibration(single.validated, single.best + 1, refit.best + 1)
    calibrated, sure = lent.of(raw), lent.is_sure(raw)
    return {
        "refit_loss": raw.loss,
        "refit_loss_lent": calibrated.loss,
        "refit_error": raw.calibration_error(),
        "refit_error_lent": calibrated.calibration_error(),
        "is_lent": lent != NONE,
        "sure": float(sure.mean()),
        **({"sure_acc": raw.at(sure).accuracy} if sure.any() else {}),
    }


@dataclass(frozen=True)
class Trained:
    """A trial that was trained to its end.

    Attributes:
        best: The index of its best epoch; of its last where it has no validation images.
        val: Its validation accuracy after that.
        tests: Its test accuracy after some epochs, by index.
        weights: Those of the best epoch.
        validated: Its answers for the validation images then.
        tested: And for those of the test.
    """

    best: int
    val: float
    tests: dict[int, float]
    weights: dict[str, Tensor]
    validated: Predictions
    tested: Predictions

    @property
    def test(self) -> float:
        """The test accuracy after its best epoch."""
        return self.tests[self.best]

    @property
    def last(self) -> float:
        """The test accuracy after its last epoch."""
        return self.tests[max(self.tests)]


def trained(config: TrialConfig, store: Path, *also: int) -> Trained:
    """Train a trial to its end, and test it after its best epoch, its last one, and others."""
    tuner, epochs, states = tuner_of(config, store), [], []
    for metrics in curve(tuner):
        epochs.append(metrics)
        states.append({k: v.clone() for k, v in tuner.network.tail_state().items()})
    last = len(epochs) - 1
    best = last if config.data.keeps_no_validation else best_of(epochs)
    answers = {}
    for epoch in sorted({best, last, *also}, key=lambda epoch: epoch == best):
        tuner.network.load_tail_state(states[epoch])
        answers[epoch] = tuner.evaluate("test")
    tests = {epoch: found.accuracy for epoch, found in answers.items()}
    validated, tested = tuner.evaluate("val"), answers[best]  # the best's are loaded
    return Trained(best, epochs[best]["val_acc"], tests, states[best], validated, tested)


def soup(config: TrialConfig, states: list[dict[str, Tensor]], store: Path) -> float:
    """The test accuracy of the mean of some weights."""
    tuner = tuner_of(config, store)
    tuner.network.load_tail_state(average(states))
    tuner.reestimate_statistics()
    return tuner.evaluate("test").accuracy


def summary(points: list[Point]) -> list[dict[str, float | str]]:
    """The gains over all drawings and depths."""

    def of(name: str) -> list[float]:
        return [point[name] for point in points]

    pairs = [
        ("refit", "single"),
        ("refit_by_own", "single"),
        ("refit_by_folds", "single"),
        ("refit", "refit_by_own"),
        ("refit", "refit_by_folds"),
        ("single_last", "single"),
        ("soup", "single"),
        ("refit", "soup"),
        ("soup_of_refits", "refit"),
        ("error_of_folds", "error_of_validation"),
    ]
    known = [(a, b) for a, b in pairs if {a, b} <= points[0].keys()]
    return [*(paired(f"{a} - {b}", of(a), of(b)) for a, b in known), *lending(points)]


def lending(points: list[Point]) -> list[dict[str, float | str]]:
    """What the refits that are lent a calibration have of it; losses are in 0.01 nats."""
    lent = [point for point in points if point["is_lent"]]
    if len(lent) < 2:
        return []
    found = []
    for name in ("refit_loss", "refit_error"):
        after, before = ([point[key] for point in lent] for key in (f"{name}_lent", name))
        worse = sum(a > b for a, b in zip(after, before, strict=True))
        found.append({**paired(f"{name}, lent - own", after, before), "worse": worse})
    sure = [point["sure"] for point in lent]
    right = [point["sure_acc"] for point in lent if "sure_acc" in point]
    shares = {"sure": mean(sure), "sure_right": mean(right) if right else 0.0}
    return [
        *found,
        {"what": "sure answers", "none_sure": sum(each == 0 for each in sure), **shares},
    ]


if __name__ == "__main__":
    main()
