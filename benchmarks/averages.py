"""Whether averaged weights and mirrored images at the test pay on small data.

    TUNE_REAL_DATA=FOLDER python benchmarks/averages.py      # half an hour on two free cores
    TUNE_REAL_DATA=FOLDER python benchmarks/averages.py --quick --only cifar10_500

`TUNE_REAL_DATA` is a folder that holds `data/` and `weights/`. For each task, training sets are
drawn anew, with other images to judge by, all from the archive's training images (for hymenoptera,
from all). On each, for each depth and two seeds, a trial is trained, and judged by those images
after the epoch that its validation split chose:

- `optim.ema`: as trained, and with moving averages of decay 0.9, 0.97 and 0.99. They change nothing
  of the training, so all are taken along one run; each chooses its epoch by its own validation.
- `predict.flips`: with and without the mirror images.

Gains are paired over draws, depths and seeds.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from small_data import Point, Task, compare, curve, forget, options, paired, tuner_of
from torch import Tensor

from trainable.config import PredictConfig
from trainable.finetuner import FineTuner
from trainable.network.averaging import MovingAverage
from trainable.network.cut_network import CutNetwork

SEEDS: Final = 2
DECAYS: Final = (0.9, 0.97, 0.99)


def main() -> None:
    """Compare on each task."""
    parser = options(__doc__, 4, "one draw, three epochs")
    given = parser.parse_args()
    draws = 1 if given.quick else given.draws
    compare(given, draws, partial(drawing, quick=given.quick), summary)


def drawing(task: Task, folder: Path, real: Path, number: int, *, quick: bool) -> list[Point]:
    """The figures on one drawing, for each depth and seed."""
    forget()
    images, points = task.draw(folder, real, number), []
    for depth in task.depths:
        for seed in range(SEEDS):
            train = {"seed": seed, **({"epochs": 3} if quick else {})}
            config = task.config(images, real, depth, train=train)
            points.append({"depth": depth, **measure(tuner_of(config, folder / "store"))})
    return points


def measure(tuner: FineTuner) -> Point:
    """How good a trial is, as trained and by each way of answering."""
    averages = {f"ema_{decay}": MovingAverage(tuner.network, decay) for decay in DECAYS}
    plain = Several(tuner.network, list(averages.values()))
    best: dict[str, Kept] = {}
    tuner._average = plain
    for metrics in curve(tuner):
        for name, average in (("plain", plain), *averages.items()):
            with average.in_place():
                state = tuner.network.tail_state()
                val = metrics if name == "plain" else _validated(tuner)
                rank = (val["val_acc"], -val["val_loss"])
                if name not in best or rank > best[name].rank:
                    best[name] = Kept(rank, {key: value.clone() for key, value in state.items()})
    found = {}
    for name, kept in best.items():
        tuner.network.load_tail_state(kept.state)
        test = tuner.evaluate("test")
        found[name] = test.accuracy
        if name == "plain":
            config = tuner.config
            tuner.config = config.model_copy(update={"predict": PredictConfig(flips=True)})
            flips = tuner.evaluate("test")
            tuner.config = config
            found |= {"flips": flips.accuracy, "plain_loss": test.loss, "flips_loss": flips.loss}
    return found


class Kept(NamedTuple):
    """The best epoch of a way of training."""

    rank: tuple[float, float]
    state: dict[str, Tensor]


def _validated(tuner: FineTuner) -> dict[str, float]:
    val = tuner.evaluate("val")
    return {"val_acc": val.accuracy, "val_loss": val.loss}


class Several(MovingAverage):
    """No average, which has others take in each update."""

    def __init__(self, network: CutNetwork, others: list[MovingAverage]) -> None:
        super().__init__(network, 0.0)
        self._others = others

    def update(self) -> None:
        """Have the others take in the weights as they are now."""
        for other in self._others:
            other.update()


def summary(points: list[Point]) -> list[dict[str, float | str]]:
    """The gains over all drawings, depths and seeds."""

    def of(name: str) -> list[float]:
        return [point[name] for point in points]

    names = [*(f"ema_{decay}" for decay in DECAYS), "flips"]
    lines = [paired(f"{name} - plain", of(name), of("plain")) for name in names]
    return [*lines, paired("loss: flips - plain", of("flips_loss"), of("plain_loss"))]


if __name__ == "__main__":
    main()
