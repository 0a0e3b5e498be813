from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from tests.helpers.commands import DIGITS, SMALL
from tests.helpers.plugins import use_plugin
from tests.helpers.studies import ledger_of
from trainable.checkpoints import BEST
from trainable.config.costs import cost_rows
from trainable.data.datasets import load_dataset
from trainable.finetuner import FineTuner
from trainable.inference.calibration import NONE, calibrate
from trainable.judging.objective import Objective
from trainable.judging.predictions import Predictions
from trainable.ray_trainable import FineTuneTrainable, TrialSpec
from tune.config.loading import load_config
from tune.models import candidates
from tune.models.candidates import (
    Candidate,
    Run,
    finalist_runs,
    lent_calibration,
    single,
    soup,
    trained,
)
from tune.strategy.confirmation import Finalist
from tune.study.folder import SearchFolder
from tune.study.ledger import Ledger
from tune.study.trial import FACTS, Epoch, TrialLog


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    words = [*SMALL, "cache.enabled=false", "train.precision=fp32", "data.limit=600"]
    config = load_config(DIGITS, words)
    return ledger_of(config, f"sqlite:///{tmp_path / 'optuna.db'}")


@pytest.fixture
def home(tmp_path: Path) -> SearchFolder:
    return SearchFolder("one", tmp_path)


def run(ledger: Ledger, home: SearchFolder, number: int, depth: int, **others: Any) -> Run:
    """A trial that has run, and left its best checkpoint."""
    params = {"model.unfreeze_depth": depth, "optim.lr": 3e-3}
    params |= {name.replace("_", "."): value for name, value in others.items()}
    spec = TrialSpec(
        number=number,
        trial=ledger.config.trial(params).model_dump(mode="json"),
        folder=str(home.trial(number)),
        runtime=asdict(ledger.config.runtime()),
    )
    trainable = FineTuneTrainable(config=dict(spec))
    log = TrialLog(number, params, 0, objective=ledger.objective)
    names = ledger.objective.epoch_metrics
    for _ in range(3):
        result = trainable.step()
        log.facts = {name: result[name] for name in FACTS}
        log.epochs.append(Epoch({name: result[name] for name in names}, 0))
    return Run.of(log, ledger)


SLOW = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"broken", None])
def test_a_best_checkpoint_that_is_broken_or_gone_is_trained_again(
    content: bytes | None, ledger: Ledger, home: SearchFolder
) -> None:
    one = run(ledger, home, 0, depth=1)
    whole = trained(one, home)
    path = home.trial(0) / BEST
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"best\.pt cannot be read .* run again"):
        again = trained(one, home)
    assert again.epoch == whole.epoch == one.log.best
    # Not the weights: at 16 px layer4 sees one pixel, and oneDNN leaves the gradient of the taps
    # around it, which meet padding alone, as it finds it.
    assert torch.equal(again.evaluate("val").logits, whole.evaluate("val").logits)


@pytest.mark.slow
def test_a_best_checkpoint_that_a_lost_worker_wrote_late_is_not_taken(
    ledger: Ledger, home: SearchFolder, tmp_path: Path
) -> None:
    one = run(ledger, home, 0, depth=1)
    assert one.log.best is not None
    assert one.log.best > 1
    whole = trained(one, home)
    lost = FineTuneTrainable(
        config={
            "number": 0,
            "trial": one.config.model_dump(mode="json"),
            "folder": str(tmp_path / "lost"),
            "runtime": asdict(ledger.config.runtime()),
        }
    )
    lost.step()
    shutil.copy(tmp_path / "lost" / BEST, home.trial(0) / BEST)
    told = rf"best\.pt is of epoch 1, not of {one.log.best}: the trial is run again"
    with pytest.warns(UserWarning, match=told):
        again = trained(one, home)
    assert again.epoch == one.log.best
    assert torch.equal(again.evaluate("val").logits, whole.evaluate("val").logits)


@pytest.mark.slow
def test_a_single_run_is_as_good_as_it_was_recorded(ledger: Ledger, home: SearchFolder) -> None:
    one = run(ledger, home, 0, depth=1)
    candidate = single(one, home)
    assert candidate.val.accuracy == one.log.score
    assert candidate.ingredients == ("trial-000",)


def weights(tuner: FineTuner) -> dict[str, Tensor]:
    return dict(tuner.network.net.named_parameters())


@pytest.mark.parametrize(
    ("arch", "start"), [pytest.param("resnet18", "bundled", marks=SLOW), ("small", "random")]
)
def test_a_soup_of_runs_of_several_depths_is_the_mean_of_those_that_improve_it(
    arch: str, start: str, ledger: Ledger, home: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_plugin("tests.helpers.plugins.small_net", monkeypatch)
    lr = 1e-3 if start == "bundled" else 1e-2
    rates = ((1, lr), (2, 3 * lr), (2, 50.0))
    runs = [
        run(ledger, home, number, depth, optim_lr=rate, model_arch=arch, model_weights=start)
        for number, (depth, rate) in enumerate(rates)
    ]

    mixed = soup(runs, home)

    assert mixed is not None
    assert mixed.ingredients == ("trial-000", "trial-001")
    assert mixed.tuner.network.depth == 2
    first, second = (weights(trained(one, home)) for one in runs[:2])
    for name, value in weights(mixed.tuner).items():
        torch.testing.assert_close(value, (first[name] + second[name]) / 2)
    assert soup(runs[:1], home) is None


def test_a_soup_begins_with_the_winner_whatever_luck_a_loser_had(ledger: Ledger) -> None:
    def scored(number: int, score: float) -> TrialLog:
        epochs = [Epoch({"val_acc": score, "val_loss": 1 - score}, 0)]
        return TrialLog(number, {}, 0, epochs, objective=ledger.objective)

    winner = Finalist(scored(0, 0.94), [scored(0, 0.95), scored(2, 0.95)])
    loser = Finalist(scored(1, 0.96), [scored(1, 0.97), scored(3, 0.80)])
    found = finalist_runs([winner, loser], ledger, ledger)
    assert [each.log.score for each in found] == [0.95, 0.97, 0.96, 0.95, 0.94, 0.80]
    assert found[0].log is winner.runs[0]


def test_costs_rank_a_run_and_a_soup(
    tmp_path: Path, home: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The config names classes, and only a trial knows their order."""
    use_plugin("tests.helpers.plugins.small_net", monkeypatch)
    words = [*SMALL, "cache.enabled=false", "train.precision=fp32", "data.limit=600"]
    costs = ["objective.metric=val_cost", "objective.costs.3.8=20", "objective.also=val_macro_f1"]
    small = ["model.arch=small", "model.weights=random", "space.optim.lr=[1e-2, 3e-2, 50]"]
    config = load_config(DIGITS, [*words, *costs, *small, "space.model.unfreeze_depth=[1]"])
    ledger = ledger_of(config, f"sqlite:///{tmp_path / 'optuna.db'}")
    first = run(ledger, home, 0, depth=1, optim_lr=1e-2)
    rows = cost_rows((("3", "8", 20.0),), load_dataset(config.data).classes)
    one = single(first, home)
    assert one.objective.metric.of(one.val) == pytest.approx(first.log.score)
    assert one.rank[0] == pytest.approx(-one.val.mean_cost(rows))
    # A run beside itself makes the mean no worse, so that there is a soup on every processor.
    mixed = soup([first, first], home)
    assert mixed is not None
    assert mixed.rank[0] == pytest.approx(-mixed.val.mean_cost(rows))
    assert "val_macro_f1" in first.log.best_epoch.metrics


@pytest.mark.slow
def test_a_soup_normalizes_by_statistics_of_its_own(ledger: Ledger, home: SearchFolder) -> None:
    runs = 2 * [run(ledger, home, 0, depth=1)]

    mixed = soup(runs, home)

    assert mixed is not None
    assert torch.equal(mixed.tuner.evaluate("val").logits, mixed.val.logits)
    mixed.tuner.reestimate_statistics()
    assert torch.equal(mixed.tuner.evaluate("val").logits, mixed.val.logits)
    name = "layer4.1.bn2.running_mean"
    of_runs = [trained(one, home).network.net.state_dict()[name] for one in runs]
    found = mixed.tuner.network.net.state_dict()[name]
    assert not torch.allclose(found, torch.stack(of_runs).mean(0), rtol=1e-3)


@pytest.mark.slow
def test_weights_that_spoil_the_soup_are_left_out_and_one_run_is_no_soup(
    ledger: Ledger, home: SearchFolder
) -> None:
    good, bad = run(ledger, home, 0, depth=0), run(ledger, home, 1, depth=0, optim_lr=50.0)
    mixed = soup([good, good, bad], home)
    assert mixed is not None
    assert mixed.ingredients == ("trial-000", "trial-000")
    assert soup([good, bad], home) is None


@pytest.mark.slow
def test_a_last_batch_of_one_image_does_not_stop_the_soup(
    tmp_path: Path, home: SearchFolder
) -> None:
    """At 16 px layer4 sees one pixel: a batch of one image has no variance to be measured."""
    words = [*SMALL, "cache.enabled=false", "data.limit=322", "data.split_rule=1"]
    config = load_config(DIGITS, words)
    assert len(load_dataset(config.data).train) % 64 == 1
    one = ledger_of(config, f"sqlite:///{tmp_path / 'one.db'}")
    first = run(one, home, 0, depth=1)
    mixed = soup([first, first], home)
    assert mixed is not None
    assert mixed.val.logits.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "better"), [("val_acc", "sure"), ("val_loss", "modest")])
def test_what_the_search_was_after_decides_between_candidates(
    metric: str, better: str, ledger: Ledger, home: SearchFolder
) -> None:
    labels = torch.zeros(4, dtype=torch.long)
    # Right about three, and terribly sure of the fourth; right about two, and never far off.
    logits = {"sure": [9.0, 9.0, 9.0, -9.0], "modest": [0.1, 0.1, -0.1, -0.1]}
    tuner = trained(run(ledger, home, 0, depth=0), home)
    candidates = [
        Candidate(name, Objective.named(metric), tuner, Predictions(first_class(one), labels), ())
        for name, one in logits.items()
    ]
    assert max(candidates, key=lambda candidate: candidate.rank).name == better


def first_class(scores: list[float]) -> Tensor:
    return torch.tensor([[score, 0.0] for score in scores])


@pytest.mark.slow
def test_runs_of_another_architecture_are_left_out_of_the_soup(
    ledger: Ledger, home: SearchFolder
) -> None:
    best, other = run(ledger, home, 0, depth=0), run(ledger, home, 1, 0, model_arch="resnet34")
    mixed = soup([best, other, best], home)
    assert mixed is not None
    assert mixed.ingredients == ("trial-000", "trial-000")
    assert mixed.tuner.config.model.arch == "resnet18"


def test_a_refit_is_lent_the_calibration_of_a_single_that_was_not_taken_early() -> None:
    drawn = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (60,), generator=drawn)
    logits = torch.randn(60, 3, generator=drawn) + 3 * torch.eye(3)[labels]
    val = Predictions(logits, labels)
    lent = lent_calibration(val, 3, 6)
    assert lent == calibrate(val) != NONE
    assert lent_calibration(val, 2, 6) == NONE
    assert lent_calibration(val.drawn(torch.arange(29)), 6, 6) == NONE, "too few images"


@pytest.mark.parametrize(
    ("right", "images", "metric", "taken"),
    [
        (34, 42, "val_acc", True),
        (33, 42, "val_acc", True),
        (30, 42, "val_acc", True),
        (20, 42, "val_acc", False),
        (5, 10, "val_acc", False),  # all of one class
        (33, 42, "val_loss", True),
        (5, 42, "val_loss", False),
    ],
)
def test_a_refit_is_refused_only_where_it_clearly_knows_less(
    right: int,
    images: int,
    metric: str,
    taken: bool,
    ledger: Ledger,
    home: SearchFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the validation images the single was chosen, so that its score is partly luck."""

    def answers(right: int, certainty: float) -> Predictions:
        labels = torch.zeros(images, dtype=torch.int64)
        logits = torch.zeros(images, 2)
        logits[:right, 0] = logits[right:, 1] = certainty
        return Predictions(logits, labels)

    own = 33 if images == 42 else images
    log = TrialLog(0, {}, 0, [Epoch({"val_acc": 0.5, "val_loss": 1.0}, 0)])
    one = Run.of(log, ledger)
    objective = Objective.named(metric)
    found = SimpleNamespace(objective=objective, evaluate=lambda _: answers(right, 0.9))
    monkeypatch.setattr(candidates, "trained", lambda *_: found)
    best = Candidate("single", objective, cast("FineTuner", found), answers(own, 1.0), (one,))
    assert (candidates.refit(one, home, best) is not None) is taken
