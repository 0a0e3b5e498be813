"""Stock Ray Tune on this project's trainable: OptunaSearch and ASHA as Ray ships them.

    python benchmarks/versus/stock.py settings.json

The trial, its store and its checkpoints are ours; what is tried next and what is stopped, Ray's.
It stops at the settings' `until`, a time since the epoch in seconds, and tests the best epoch of
any trial by validation.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from trainable.checkpoints import Checkpoints
from trainable.finetuner import FineTuner
from trainable.ray_trainable import FineTuneTrainable
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.study.distributions import distributions


class Trial(FineTuneTrainable):
    """The trial, told the values that Ray chose."""

    def setup(self, config: dict[str, Any]) -> None:
        """Build the trial of `config["search"]` with the values beside it."""
        search = SearchConfig.model_validate(config["search"])
        values = {key: value for key, value in config.items() if "." in key}
        super().setup(
            {
                "number": 0,
                "trial": search.trial(values).model_dump(mode="json"),
                "folder": str(folder_of(Path(config["folder"]), values)),
                "runtime": asdict(search.runtime()),
            }
        )

    def step(self) -> dict[str, Any]:
        """An epoch; one that diverged has nothing right, for which Ray has no other word."""
        return {"val_acc": 0.0, **super().step()}


def folder_of(root: Path, values: dict[str, Any]) -> Path:
    """Where the checkpoints of the trial with these values are."""
    words = "_".join(f"{key}={values[key]!r}" for key in sorted(values))
    return root / words.replace("/", "-")


def main() -> None:
    """Search, then test the best."""
    settings = json.loads(Path(sys.argv[1]).read_text())
    search = load_config(Path(settings["config"]), [])
    root = Path("checkpoints").resolve()
    ray.init(include_dashboard=False, log_to_driver=False)
    tuner = tune.Tuner(
        tune.with_resources(Trial, {"cpu": search.resources.cpu}),
        param_space={"search": search.model_dump(mode="json"), "folder": str(root)},
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(
                distributions(search.space), metric="val_acc", mode="max", seed=settings["seed"]
            ),
            scheduler=ASHAScheduler(metric="val_acc", mode="max", max_t=search.train.epochs),
            num_samples=settings["num_samples"],
            time_budget_s=settings["until"] - time.time(),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(storage_path=str(Path("ray").resolve()), verbose=0),
    )
    best = tuner.fit().get_best_result("val_acc", "max", scope="all")
    assert best.config is not None
    values = {key: value for key, value in best.config.items() if "." in key}
    print(json.dumps({"test_acc": tested(search, values, folder_of(root, values))}))


def tested(search: SearchConfig, values: dict[str, Any], folder: Path) -> float:
    """The test accuracy of a trial's best epoch."""
    trial = search.trial(values)
    tuner = FineTuner.on(search.runtime(), trial)
    tuner.load_state_dict(Checkpoints(folder, trial).best()["tuner"])
    return tuner.evaluate("test").accuracy


if __name__ == "__main__":
    main()
