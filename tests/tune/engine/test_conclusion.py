"""The end of a search whose trials have run: what is registered and recorded, and what may fail."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image

from tests.helpers.commands import DIGITS
from tests.helpers.conclusions import PLUGIN, Ended, ended_search
from tests.helpers.doors import invoke
from tests.helpers.plugins import use_plugin
from tests.helpers.results import results_of
from trainable.data.datasets import Dataset, load_dataset
from trainable.inference.calibration import NONE, calibrate
from trainable.inference.scoring import score
from tune.config.loading import load_config
from tune.engine.conclusion import _Problems
from tune.engine.known_by import scores_of
from tune.models import candidates
from tune.models.lookup import load_registered
from tune.models.registration import add_file
from tune.models.replay import read_trial, rebuild, replay
from tune.models.winner import Fault
from tune.reporting.results import SearchResults
from tune.strategy.confirmation import Finalist
from tune.study.folder import SearchFolder
from tune.tracking.tags import SearchTags, VersionTags

NAME = "small-digits"


@dataclass
class Concluded:
    """A search that was concluded, and its record."""

    ended: Ended
    results: SearchResults
    client: MlflowClient

    @property
    def parent(self) -> Run:
        experiment = self.client.get_experiment_by_name("digits")
        (found,) = self.client.search_runs(
            [experiment.experiment_id], "tags.`tune.kind` = 'search'"
        )
        return found

    def again(self) -> Concluded:
        """The same after a resume."""
        return Concluded(self.ended, self.ended.conclude(), self.client)


Conclude = Callable[..., Concluded]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(load_config(DIGITS, ["data.image_size=16"]).data)


pytestmark = pytest.mark.usefixtures("models_without_code")


@pytest.fixture(scope="module", autouse=True)
def _surroundings() -> Iterator[None]:
    """A small network, and no report, which takes longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        use_plugin(PLUGIN, patch)
        patch.setattr("tune.engine.conclusion.write_report", short_report)
        yield


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """The folder of a search whose trials and confirmation have run, with an empty record."""
    folder = tmp_path_factory.mktemp("ended")
    shutil.copy(empty_database, folder / "mlflow.db")
    ended_search(folder)
    return folder


@pytest.fixture
def concluded(ended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Conclude:
    """Concludes a copy of that search."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ended, tmp_path, dirs_exist_ok=True)

    def make(*words: str) -> Concluded:
        client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
        ended = ended_search(tmp_path, *words)
        return Concluded(ended, ended.conclude(), client)

    return make


@pytest.fixture(scope="module")
def done(ended: Path, tmp_path_factory: pytest.TempPathFactory) -> Concluded:
    """That search, whose model is a single run, concluded without a fault."""
    folder = tmp_path_factory.mktemp("done")
    shutil.copytree(ended, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        one = ended_search(folder, "confirm.soup=false")
        return Concluded(one, one.conclude(), MlflowClient(f"sqlite:///{folder / 'mlflow.db'}"))


def short_report(results: SearchResults, folder: Path) -> list[Path]:
    (folder / "report.html").write_text(f"{results.model}")
    return [folder / "report.html"]


@pytest.mark.slow
def test_one_model_is_named_by_the_run_the_version_and_the_results(done: Concluded) -> None:
    results, model = done.results, done.results.model
    assert results.unfinished is None
    assert model is not None
    assert results.standing is not None
    parent, version = done.parent, done.client.get_model_version(NAME, "1")
    run_id = parent.data.tags["tune.best_run"]
    assert version.tags["tune.best_run"] == run_id
    run = done.client.get_run(run_id)
    (name,) = model.runs
    assert run.info.run_name == name == parent.data.tags["tune.ingredients"]
    history = done.client.get_metric_history(run_id, "val_acc")
    assert history[model.epoch - 1].value == model.score == max(metric.value for metric in history)
    assert parent.data.metrics["best_val_acc"] == model.score
    assert float(version.tags["best_val_acc"]) == model.score
    assert parent.data.metrics["test_acc"] == results.test.accuracy
    assert float(version.tags["test_acc"]) == results.test.accuracy
    low, high = results.test.accuracy_interval()
    assert VersionTags.of(version).sureness.startswith(f"95 % interval {low:.2%} to {high:.2%}, on")


def test_its_calibration_is_that_of_the_validation_images_and_stands_on_run_and_version(
    done: Concluded,
) -> None:
    results, metrics = done.results, done.parent.data.metrics
    version = done.client.get_model_version(NAME, "1")
    spec = load_registered(done.client, version).spec
    dataset, registered = results.dataset, load_registered(done.client, version)
    own = calibrate(score(registered, dataset.val, dataset.classes))
    assert spec.temperature == results.calibration.temperature
    assert spec.temperature == pytest.approx(own.temperature, rel=0.02) != 1
    assert metrics["temperature"] == float(version.tags["temperature"]) == spec.temperature
    assert metrics["unsure_below"] == spec.unsure_below > 0
    served = registered.probabilities(dataset.test.images)
    np.testing.assert_allclose(served, results.served.probabilities, atol=1e-5)
    sure = ~registered.unsure(served)
    assert metrics["test_sure"] == pytest.approx(sure.mean())
    assert metrics.get("test_sure_acc", 1) == pytest.approx(
        results.test.right[sure].mean() if sure.any() else 1
    )
    assert metrics["test_calibration_error"] == results.served.calibration_error()
    assert SearchTags.of(done.parent).calibration == results.calibration


def test_mlflow_shows_what_it_is_on_which_data_how_good_and_how_it_is_called(
    done: Concluded,
) -> None:
    parent, version = done.parent, done.client.get_model_version(NAME, "1")
    text = parent.data.tags["mlflow.note.content"]
    assert version.description == text
    results, run_id = done.results, parent.info.run_id
    experiment = parent.info.experiment_id
    for words in (
        "An image classifier of 10 classes: 0, 1, 2,",
        f"fingerprint `{results.dataset.fingerprint}`",
        f"{len(results.dataset.test)} test images",
        f"resnet-tune predict --model models:/{NAME}/1 photo.jpg",
        f"](#/experiments/{experiment}/runs/{run_id}/artifacts/report.html)",
        f"](#/experiments/{experiment}/runs/{parent.data.tags['tune.best_run']})",
    ):
        assert words in text
    (shown,) = parent.inputs.dataset_inputs
    assert results.dataset.fingerprint.startswith(shown.dataset.digest) or (
        shown.dataset.digest == "data"  # of a search that was made up
    )
    for trial in results.ledger.trials.values():
        metrics = done.client.get_run(_run_of(done, trial.number)).data.metrics
        assert (metrics["best_val_acc"], metrics["best_epoch"]) == (trial.score, trial.best)


def _run_of(done: Concluded, number: int) -> str:
    own = f"tags.`tune.kind` = 'trial' and tags.`tune.number` = '{number}'"
    (run,) = done.client.search_runs([done.parent.info.experiment_id], own)
    return run.info.run_id


@pytest.mark.slow
def test_a_description_by_hand_stays_and_nothing_is_there_twice(concluded: Conclude) -> None:
    done = concluded("confirm.soup=false")
    run_id = done.parent.info.run_id
    done.client.set_tag(run_id, "mlflow.note.content", "Mine.")
    again = done.again()
    assert again.parent.data.tags["mlflow.note.content"] == "Mine."
    assert "resnet-tune predict" in again.client.get_model_version(NAME, "1").description
    again.client.update_model_version(NAME, "1", "Mine too.")
    again.client.delete_tag(run_id, "mlflow.note.content")
    last = again.again()
    assert "resnet-tune predict" in last.parent.data.tags["mlflow.note.content"]
    assert last.client.get_model_version(NAME, "1").description == "Mine too."
    assert len(last.parent.inputs.dataset_inputs) == 1
    history = last.client.get_metric_history(_run_of(last, 0), "best_val_acc")
    assert len(history) == 1
    assert len(last.client.search_model_versions(f"name = '{NAME}'")) == 1


def test_a_file_can_be_added_to_a_version(done: Concluded, tmp_path: Path) -> None:
    (tmp_path / "MODEL_CARD.md").write_text("a card")
    standing = done.results.standing
    assert standing is not None
    name = done.results.config.model_name
    add_file(done.client, name, standing.version, tmp_path / "MODEL_CARD.md")
    (model,) = done.client.search_logged_models([done.parent.info.experiment_id])
    place = Path(model.artifact_location.removeprefix("file://"))
    assert (place / "MODEL_CARD.md").read_text() == "a card"
    assert (place / "MLmodel").is_file()


def test_the_run_says_its_version_and_its_latency(done: Concluded) -> None:
    tags, standing = SearchTags.of(done.parent), done.results.standing
    assert standing is not None
    assert (tags.version, tags.latency) == (standing.version, done.results.latency)
    assert tags.latency is not None
    assert 0 < tags.latency < 10


def test_what_is_named_replays_to_the_model_that_is_registered(done: Concluded) -> None:
    (run_id,) = done.parent.data.tags["tune.best_run"].split()
    tuner = rebuild(read_trial(run_id, done.client.tracking_uri))
    for _ in range(done.results.model.epoch):
        tuner.train_epoch()
    registered = load_registered(done.client, done.client.get_model_version(NAME, "1"))
    dataset = done.results.dataset
    own, theirs = (
        score(each, dataset.test, dataset.classes).logits
        for each in (tuner.classifier(), registered)
    )
    assert torch.equal(own, theirs)
    assert torch.equal(theirs, done.results.test.logits)


@pytest.mark.slow
def test_a_soup_names_the_runs_that_are_in_it(
    concluded: Conclude, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune.models.winner.is_better", lambda *_: True)
    done = concluded()
    model = done.results.model
    ids = done.parent.data.tags["tune.best_run"].split()
    assert len(ids) == len(model.runs) > 1
    assert [done.client.get_run(each).info.run_name for each in ids] == list(model.runs)
    assert done.parent.data.tags["tune.candidate"] == "soup"
    assert done.parent.data.metrics["best_val_acc"] == model.score


@pytest.mark.parametrize(("metric", "test_name"), [("val_acc", "acc"), ("val_loss", "loss")])
def test_metrics_are_named_after_the_objective(
    metric: str, test_name: str, dataset: Dataset
) -> None:
    results = results_of(dataset, 7, f"objective.metric={metric}")
    trials, test, model = results.ledger.trials, results.test, results.model
    assert test is not None
    assert model is not None
    winner = Finalist(trials[0], [trials[3], trials[6]])
    assert scores_of(replace(results, finalists=(winner,)), model, test) == {
        f"best_{metric}": model.score,
        f"confirmed_{metric}": winner.mean,
        f"confirmed_{metric}_spread": winner.spread,
        f"test_{test_name}": results.objective.metric.of(test),
        "test_acc": test.accuracy,
        "test_loss": test.loss,
    }
    alone = scores_of(replace(results, finalists=(Finalist(trials[0]),)), model, test)
    assert not any(name.startswith("confirmed") for name in alone)


def test_the_file_of_an_error_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Whoever reads it meanwhile reads it to its end."""
    home = SearchFolder("one", tmp_path)
    home.folder.mkdir(parents=True)
    problems = _Problems(home)
    problems.add(Fault("the soup", "ValueError: first", "the first traceback"))
    with (home.folder / "error.txt").open() as reader:
        problems.add(Fault("the report", "ValueError: second", "another traceback"))
        assert reader.read() == "the first traceback"
    assert (home.folder / "error.txt").read_text() == "another traceback"
    assert problems.found[1].endswith(f"second ({home.folder / 'error.txt'})")


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("it is broken")


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("tune.models.winner.soup", "the soup of the finalists failed"),
        pytest.param(
            "tune.engine.conclusion.write_report", "the report failed", marks=pytest.mark.slow
        ),
    ],
)
def test_whatever_fails_around_it_the_winner_is_registered_and_it_is_told(
    what: str, words: str, concluded: Conclude, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        context.setattr(what, broken)
        done = concluded()
    assert f"{words}: RuntimeError: it is broken" in done.results.unfinished
    assert done.results.standing.promoted
    assert done.client.get_model_version_by_alias(NAME, "champion").version == 1
    assert done.parent.info.status == "FAILED"
    assert done.parent.data.tags["tune.error"] == done.results.unfinished
    errors = done.ended.home.folder / "error.txt"
    assert "in broken" in errors.read_text()
    again = done.again()
    assert again.results.unfinished is None
    assert again.parent.info.status == "FINISHED"
    assert "tune.error" not in again.parent.data.tags
    assert not errors.exists()


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("tune.models.winner.score", "testing the best checkpoint failed"),
        pytest.param(
            "tune.models.registration.log_classifier",
            "registering the model failed",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_where_it_cannot_be_tested_or_registered_it_is_told_and_made_up_for(
    what: str, words: str, concluded: Conclude, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        context.setattr(what, broken)
        done = concluded()
    assert f"{words}: RuntimeError: it is broken" in done.results.unfinished
    assert done.results.report is not None
    assert done.parent.info.status == "FAILED"
    again = done.again()
    assert again.results.unfinished is None
    assert again.results.standing.promoted


def test_its_run_is_finished_only_once_alias_and_decision_are_written(
    concluded: Conclude, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, order = MlflowClient.set_terminated, []

    def close(self: MlflowClient, run_id: str, *words: Any) -> None:
        run = self.get_run(run_id)
        if run.data.tags["tune.kind"] == "search":
            champion = self.get_model_version_by_alias(NAME, "champion")
            order.append((champion.tags["tune.promoted"], run.data.tags["tune.decision"]))
        real(self, run_id, *words)

    monkeypatch.setattr(MlflowClient, "set_terminated", close)
    assert concluded().parent.info.status == "FINISHED"
    assert order == [("yes", "the first champion, compared with none")]


@pytest.mark.slow
def test_nothing_of_a_killed_conclusion_stays(
    concluded: Conclude, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Killed between the files of its model and the version: neither they nor others are left."""

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(MlflowClient, "create_model_version", killed)
        with pytest.raises(KeyboardInterrupt):
            concluded()
    (before,) = tmp_path.glob("mlruns/*/models/*/artifacts/MLmodel")
    scratch = tmp_path / "searches" / "one" / "scratch"
    scratch.mkdir()
    (scratch / "half").touch()
    assert concluded().results.unfinished is None
    (left,) = tmp_path.glob("mlruns/*/models/*/artifacts/MLmodel")
    assert left != before
    assert not scratch.exists()


def test_the_confirmed_score_is_that_of_the_epoch_that_the_search_chose(done: Concluded) -> None:
    winner = done.results.finalists[0]
    chosen = [run.epochs[winner.trial.best - 1].metrics["val_acc"] for run in winner.runs]
    assert done.parent.data.metrics["confirmed_val_acc"] == pytest.approx(sum(chosen) / 2)


def test_the_files_of_the_test_images_give_the_recorded_figure_to_the_last_image(
    empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    draw = np.random.default_rng(0)
    for number in range(120):
        shade, folder = number % 2, tmp_path / "photos" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 246 + 10 * shade, (50, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    words = ("data.source=image_folder", "data.root=photos", "data.limit=null")
    one = ended_search(tmp_path, *words, "confirm.top_k=0", "train.precision=bf16")
    results = one.conclude()
    assert results.unfinished is None
    test = results.dataset.test
    done = invoke("tune.predict", "--json", *map(str, test.files), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = [json.loads(line)["label"] for line in done.stdout.splitlines()]
    truth = [results.dataset.classes[label] for label in test.labels]
    right = [name == true for name, true in zip(names, truth, strict=True)]
    assert right == results.test.right.tolist()
    assert 0 < sum(right) < len(right), "an easy or hopeless test would show nothing"
    (parent,) = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}").search_runs(
        ["1"], "tags.`tune.kind` = 'search'"
    )
    assert parent.data.metrics["test_acc"] == pytest.approx(sum(right) / len(right))


@pytest.fixture(scope="module")
def on_folds(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Concluded:
    """A search that was confirmed on folds, and whose winner was trained on all images."""
    folder = tmp_path_factory.mktemp("folds")
    shutil.copy(empty_database, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        one = ended_search(folder, "confirm.folds=3", "refit.enabled=auto")
        return Concluded(one, one.conclude(), MlflowClient(f"sqlite:///{folder / 'mlflow.db'}"))


@pytest.mark.slow
def test_the_winner_on_folds_is_registered_as_it_was_trained_on_all_images(
    on_folds: Concluded,
) -> None:
    results, parent = on_folds.results, on_folds.parent
    assert results.unfinished is None
    winner = results.finalists[0]
    # No image is left to measure it on: it is that of the search's own trial.
    trial = candidates.Run.of(winner.trial, on_folds.ended.searched)
    own = candidates.single(trial, on_folds.ended.home)
    assert results.calibration == own.calibration != NONE
    assert parent.data.metrics["temperature"] == results.calibration.temperature
    assert (winner.over, len(winner.runs)) == ("3 folds", 3)
    assert parent.data.tags["tune.confirmed_over"] == "3 folds"
    assert parent.data.metrics["confirmed_val_acc"] == pytest.approx(winner.mean)
    assert results.model.runs == ("refit-000",)
    assert parent.data.tags["tune.candidate"] == "refit"
    last = [run.epochs[-1].metrics["val_acc"] for run in winner.runs]  # of an annealed schedule
    assert parent.data.metrics["refit_val_acc"] == results.model.score
    assert results.model.score == pytest.approx(sum(last) / 3)
    images = len(results.dataset.train) + len(results.dataset.val)
    (refit,) = on_folds.client.search_runs(["1"], "tags.`tune.kind` = 'refit'")
    assert {name for name in refit.data.metrics if "val_" in name} == {
        "known_val_acc",
        "known_val_loss",
    }
    words = f"the mean of its recipe over 3 folds; it has trained on all {images} images"
    assert results.judged_by == words


@pytest.mark.slow
def test_a_refit_replays_to_the_model_that_is_registered_and_so_do_runs_on_folds(
    on_folds: Concluded,
) -> None:
    (run_id,) = on_folds.parent.data.tags["tune.best_run"].split()
    tuner = rebuild(read_trial(run_id, on_folds.client.tracking_uri))
    dataset = on_folds.results.dataset
    assert len(tuner.dataset.train) == len(dataset.train) + len(dataset.val)
    while not tuner.finished:
        tuner.train_epoch()
    assert tuner.epoch == on_folds.results.model.epoch
    registered = load_registered(on_folds.client, on_folds.client.get_model_version(NAME, "1"))
    own = score(tuner.classifier(), dataset.test, dataset.classes).logits
    assert torch.equal(own, on_folds.results.test.logits)
    assert registered.seen is not None
    assert not registered.seen.unseen_groups(replace(dataset, test=dataset.val)).any()
    assert registered.seen.unseen_groups(dataset).all()
    for kind in ("confirm", "refit"):
        child = on_folds.client.search_runs(["1"], f"tags.`tune.kind` = '{kind}'")[0]
        trial = read_trial(child.info.run_id, on_folds.client.tracking_uri)
        assert trial.config.data.fold is not None
        assert replay(trial, rebuild(trial), lambda *_: None) is None


@pytest.mark.slow
def test_the_checkpoints_of_runs_on_folds_are_not_asked_for(on_folds: Concluded) -> None:
    again = on_folds.again()
    assert again.results.unfinished is None
    assert again.results.model == on_folds.results.model
    assert again.results.standing.version == on_folds.results.standing.version


@pytest.mark.slow
def test_a_refit_that_knows_its_own_images_less_well_is_not_registered(
    empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    network = ("model.arch=resnet18", "model.weights=bundled")
    learning = (*network, "data.image_size=32", "train.batch_size=32")
    words = ("confirm.folds=2", "confirm.soup=false", "refit.enabled=true", *learning)
    one = ended_search(tmp_path, *words)
    (log,) = one.refitted.trials.values()
    state = torch.load(one.home.trial(0, "refit") / "best.pt", weights_only=True)
    tail = state["tuner"]["tail"]
    (name,) = (name for name, value in tail.items() if value.ndim == 2)
    # So that it answers what is least likely.
    head = {key: -tail[key] for key in (name, name.replace("weight", "bias"))}
    state["tuner"]["tail"] = {**tail, **head}
    torch.save(state, one.home.trial(0, "refit") / "best.pt")
    results = one.conclude()
    assert log.state.name == "COMPLETE"
    assert results.model.candidate == "single"
    assert results.judged_by == ""
    assert "clearly less well than the run that has not trained on them" in results.remark
