"""What a trial on a fold answered, kept beside its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from trainable.config import TrialConfig
from trainable.judging import validated
from trainable.judging.predictions import Predictions
from trainable.judging.validated import keep_validated, read_validated
from trainable.ray_trainable import FineTuneTrainable

PREDICTIONS = Predictions(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 1]))


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    assert read_validated(tmp_path) is None
    keep_validated(tmp_path, PREDICTIONS)
    found = read_validated(tmp_path)
    assert found is not None
    assert torch.equal(found.logits, PREDICTIONS.logits)
    assert torch.equal(found.labels, PREDICTIONS.labels)


def test_half_a_file_is_none(tmp_path: Path) -> None:
    keep_validated(tmp_path, PREDICTIONS)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:40])
    assert read_validated(tmp_path) is None


def test_very_many_are_not_kept(tmp_path: Path) -> None:
    huge = Predictions(torch.empty(validated._MOST_BYTES // 4 // 2 + 1, 2), torch.empty(0))
    keep_validated(tmp_path, huge)
    assert list(tmp_path.iterdir()) == []


def test_a_trial_on_a_fold_keeps_its_best_epochs_answers(
    tiny: Callable[..., TrialConfig], tmp_path: Path
) -> None:
    def run(folder: Path, **data: str) -> tuple[FineTuneTrainable, list[float]]:
        trial = tiny(data=data, train={"epochs": 3}, optim={"lr": 0.05})
        spec = {
            "number": 0,
            "trial": trial.model_dump(mode="json"),
            "folder": str(folder),
            "runtime": {"threads": 1},
        }
        trainable = FineTuneTrainable(config=spec)
        return trainable, [trainable.train()["val_acc"] for _ in range(3)]

    trainable, scores = run(tmp_path / "fold", fold="1/2")
    found = read_validated(tmp_path / "fold")
    assert found is not None
    assert found.accuracy == max(scores)
    assert len(found.labels) == len(trainable._tuner.dataset.val)
    trainable.stop()
    trainable, _ = run(tmp_path / "whole")
    assert read_validated(tmp_path / "whole") is None
    trainable.stop()
