from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.helpers.plugins import use_plugin
from trainable.config import TrialConfig
from trainable.device import Device
from trainable.finetuner import FineTuner
from trainable.metrics import EPOCH_METRICS, Objective, validation_metric
from trainable.predictions import Predictions

EPOCHS = ({"val_acc": 0.9, "val_loss": 0.5}, {"val_acc": 0.8, "val_loss": 0.3})


@pytest.mark.parametrize(("name", "better"), [("val_acc", 0), ("val_loss", 1)])
def test_better_is_more_of_what_is_maximized_and_less_of_what_is_minimized(
    name: str, better: int
) -> None:
    objective = Objective.named(name)
    assert max(EPOCHS, key=objective.rank) is EPOCHS[better]
    sure = Predictions(torch.tensor([[9.0, 0.0], [0.0, 9.0]]), torch.tensor([0, 1]))
    unsure = Predictions(torch.tensor([[0.1, 0.0], [0.0, 0.1]]), torch.tensor([0, 1]))
    wrong = Predictions(torch.tensor([[0.0, 9.0], [9.0, 0.0]]), torch.tensor([0, 1]))
    ranked = sorted((wrong, sure, unsure), key=objective.rank_of)
    assert [id(each) for each in ranked] == [id(wrong), id(unsure), id(sure)]


def test_among_equals_the_lower_loss_is_better() -> None:
    rank = Objective.named("val_acc").rank
    assert rank({"val_acc": 0.9, "val_loss": 0.4}) > rank({"val_acc": 0.9, "val_loss": 0.5})


def test_it_is_called_by_its_split_and_shown_as_what_it_is() -> None:
    accuracy, loss = Objective.named("val_acc"), Objective.named("val_loss")
    assert (accuracy.on("test"), accuracy.title("test")) == ("test_acc", "test accuracy")
    assert (accuracy.show(0.97222), loss.show(0.123456)) == ("97.22%", "0.1235")
    assert accuracy.show(None) == "-"


def test_a_metric_that_is_no_validation_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="test_acc: a name starts with val_"):
        validation_metric("test_acc", "accuracy", "maximize")


def test_another_metric_needs_one_function_and_nothing_else(
    tiny: Callable[..., TrialConfig], device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seam: registered outside, named in a config, reported by each epoch."""
    use_plugin("tests.helpers.plugins.balanced", monkeypatch)
    plain = FineTuner(tiny(), device).train_epoch()
    tuner = FineTuner(tiny(objective={"metric": "val_balanced_acc"}), device)
    epoch = tuner.train_epoch()
    assert tuple(plain) == EPOCH_METRICS
    assert set(epoch) == {*EPOCH_METRICS, "val_balanced_acc"}
    predictions = tuner.evaluate("val")
    recalls = [row["recall"] for row in predictions.per_class(tuner.dataset.classes).values()]
    assert epoch["val_balanced_acc"] == pytest.approx(sum(recalls) / len(recalls))
    assert epoch["val_balanced_acc"] != epoch["val_acc"]
    for name in ("train_loss", "train_acc", "val_loss", "val_acc"):
        assert epoch[name] == plain[name], "the objective changes no other metric"
