"""What is validated and served where weights are averaged, and where mirror images count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trainable.checkpoints import Checkpoints
from trainable.config import TrialConfig
from trainable.data.sizes import fit
from trainable.device import Device
from trainable.finetuner import FineTuner
from trainable.inference.classifier import Classifier
from trainable.inference.exported import open_pt2, save_pt2
from trainable.inference.scoring import score

TinyConfig = Callable[..., TrialConfig]
DATA = {"mirror": True, "limit": 150}
EMA = {"data": DATA, "model": {"unfreeze_depth": 1}, "optim": {"ema": 0.9}}
FLIPS = {"data": DATA, "model": {"unfreeze_depth": 1}, "predict": {"flips": True}}
BOTH = {**EMA, **FLIPS}


def trained(config: TrialConfig, device: Device, epochs: int = 2) -> FineTuner:
    tuner = FineTuner(config, device)
    for _ in range(epochs):
        tuner.train_epoch()
    return tuner


@pytest.mark.slow
def test_an_average_changes_what_is_validated_and_not_what_is_trained(
    tiny: TinyConfig, device: Device
) -> None:
    plain = {**EMA, "optim": {"ema": 0.0}}
    tuners = [FineTuner(tiny(**sections), device) for sections in (EMA, plain)]
    for _ in range(2):
        first, second = (tuner.train_epoch() for tuner in tuners)
        assert first["train_loss"] == second["train_loss"]
    assert first["val_loss"] != second["val_loss"]


def test_the_average_is_that_of_the_steps(tiny: TinyConfig, device: Device) -> None:
    tuner = FineTuner(tiny(**EMA), device)
    tuner.inputs.set_epoch(0)
    mean = tuner.weights()["fc.weight"]
    for count, indices in enumerate(tuner.inputs.whole_batches(0)):
        tuner._step(indices, None)
        decay = min(0.9, (1 + count) / (10 + count))
        mean = decay * mean + (1 - decay) * tuner.network.net.state_dict()["fc.weight"]
    torch.testing.assert_close(tuner.weights()["fc.weight"], mean)


@pytest.mark.parametrize(
    "sections",
    [pytest.param(EMA, marks=pytest.mark.slow), pytest.param(FLIPS, marks=pytest.mark.slow), BOTH],
    ids=["ema", "flips", "both"],
)
def test_a_trial_goes_on_from_its_checkpoint_as_if_uninterrupted(
    sections: dict[str, object], tiny: TinyConfig, device: Device, tmp_path: Path
) -> None:
    config = tiny(**sections)
    whole, first = FineTuner(config, device), trained(config, device, epochs=1)
    checkpoints = Checkpoints(tmp_path, config)
    checkpoints.save(first.state_dict(), best=True)
    second = FineTuner(config, device)
    second.load_state_dict(checkpoints.best())
    expected = [whole.train_epoch() for _ in range(3)][1:]
    found = [second.train_epoch() for _ in range(2)]
    for one, other in zip(found, expected, strict=True):
        assert {k: v for k, v in one.items() if k != "epoch_seconds"} == {
            k: v for k, v in other.items() if k != "epoch_seconds"
        }


@pytest.mark.slow
@pytest.mark.parametrize(
    "sections",
    [
        pytest.param(EMA, id="ema"),
        pytest.param(FLIPS, id="flips"),
        pytest.param(BOTH, id="both"),
    ],
)
def test_what_is_scored_is_what_is_served(
    sections: dict[str, object], tiny: TinyConfig, device: Device, tmp_path: Path
) -> None:
    tuner = trained(tiny(**sections), device)
    tuner.classifier().save(tmp_path / "model")
    served = Classifier.load(tmp_path / "model")
    found = score(served, tuner.dataset.val, tuner.dataset.classes)
    expected = tuner.evaluate("val")
    assert torch.allclose(found.logits.softmax(1), expected.logits.double().softmax(1), atol=1e-5)
    plain = {**sections, "optim": {}, "predict": {}}
    other = trained(tiny(**plain), device).evaluate("val")
    assert not torch.allclose(other.logits.softmax(1), expected.logits.softmax(1), atol=1e-3)


def test_the_answer_is_the_mean_over_an_image_and_its_mirror_image(
    tiny: TinyConfig, device: Device
) -> None:
    tuner = trained(tiny(**FLIPS), device)
    served = tuner.classifier()
    assert served.spec.flips
    fitted = fit(tuner.dataset.val.images, 16)
    with torch.no_grad():
        both = [served.network(images).softmax(1) for images in (fitted, fitted.flip(3))]
    found = torch.from_numpy(served.probabilities(tuner.dataset.val.images))
    assert torch.allclose(found, (both[0] + both[1]) / 2, atol=1e-6)
    assert not torch.allclose(found, both[0], atol=1e-3)


@pytest.mark.slow
def test_an_exported_file_answers_so_too(tiny: TinyConfig, device: Device, tmp_path: Path) -> None:
    tuner = trained(tiny(**FLIPS), device, epochs=1)
    classifier = tuner.classifier()
    save_pt2(classifier, tmp_path / "model.pt2")
    images = tuner.dataset.val.images[:5]
    found = open_pt2(tmp_path / "model.pt2")(fit(images, 16))
    assert found == pytest.approx(classifier.probabilities(images), abs=1e-5)


def test_mirror_images_of_digits_do_not_count(tiny: TinyConfig) -> None:
    with pytest.raises(ValueError, match=r"predict\.flips needs data whose mirror image keeps"):
        tiny(predict={"flips": True})
