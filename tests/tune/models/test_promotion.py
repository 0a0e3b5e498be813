"""Champion and challenger, in a real registry."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from tests.helpers import processes
from tests.helpers.challengers import (
    NAME,
    answers,
    challenger_of,
    classifier_of,
    config_of,
    new_run,
    record,
)
from tests.helpers.commands import DIGITS, user_environment
from tests.helpers.doors import invoke
from tests.helpers.examples import first_third
from tests.helpers.postgres import postgres
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.seen import Seen
from tune.base.errors import ConfigError
from tune.config.loading import load_config
from tune.models.champion import champion_of, roll_back
from tune.models.comparison import Comparison
from tune.models.incumbent import compare_with
from tune.models.lookup import load_registered
from tune.models.promotion import FIRST, Standing, settle_champion
from tune.tracking.schema import TEST_ACC, Tag

pytestmark = pytest.mark.usefixtures("small_networks", "models_without_code")
SMALL = "small"


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(load_config(DIGITS, ["data.image_size=16", "data.split_rule=1"]).data)


@pytest.fixture
def client(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    client.create_experiment("digits")
    return client


@pytest.fixture
def enter(client: MlflowClient, dataset: Dataset) -> Callable[..., Standing]:
    """Let a model that is right about the first so many test images be settled."""
    return entering(client, dataset)


def entering(client: MlflowClient, dataset: Dataset) -> Callable[..., Standing]:
    """The same for a registry."""
    classifier = classifier_of(dataset.classes, Seen.of(dataset), SMALL)

    def settle(
        right: int,
        rule: str = "not-worse",
        *words: str,
        run_id: str | None = None,
        recorded: bool = True,
        sure: float = 9.0,
    ) -> Standing:
        test = answers(dataset, right, sure)
        if run_id is None:
            run_id = new_run(client)
            if recorded:
                record(client, run_id, dataset, test)
        challenger = challenger_of(classifier, dataset, test)
        return settle_champion(client, config_of(rule, *words), challenger, run_id)

    return settle


def champion(client: MlflowClient) -> int | None:
    found = champion_of(client, NAME)
    return None if found is None else int(found.version)


def test_the_first_is_the_champion(enter: Callable[..., Standing], client: MlflowClient) -> None:
    standing = enter(300)
    assert (standing.version, standing.promoted, standing.comparison) == (1, True, None)
    assert champion(client) == 1


def test_a_version_keeps_its_files_when_its_model_is_renamed(
    enter: Callable[..., Standing], client: MlflowClient
) -> None:
    run_id = new_run(client)
    enter(300, run_id=run_id)
    client.rename_registered_model(NAME, "in-production")
    enter(302, run_id=run_id)  # the search went on, and found another model
    kept = client.get_model_version("in-production", "1")
    assert load_registered(client, kept).spec.classes


@pytest.mark.parametrize(
    ("second", "rule", "promoted"),
    [
        (340, "better", True),
        (302, "better", False),
        (300, "not-worse", True),
        (298, "not-worse", False),
        (250, "not-worse", False),
        (250, "always", True),
        (340, "never", False),
    ],
)
def test_the_alias_moves_by_the_rule_alone(
    second: int,
    rule: str,
    promoted: bool,
    enter: Callable[..., Standing],
    client: MlflowClient,
) -> None:
    enter(300)
    standing = enter(second, rule)
    assert standing.promoted is promoted
    assert champion(client) == (2 if promoted else 1)
    assert standing.comparison is not None
    assert standing.comparison.champion == 300 / 360
    tags = client.get_model_version(NAME, "2").tags
    assert tags["tune.decision"] == standing.reason
    assert tags["tune.promoted"] == ("yes" if promoted else "no")
    assert float(tags["tune.p_value"]) == pytest.approx(standing.comparison.p_value)
    assert float(tags["tune.worse_at_most"]) == pytest.approx(
        standing.comparison.most_lost, abs=1e-6
    )


@pytest.mark.slow
def test_of_many_that_are_each_a_little_worse_none_replaces_the_best(
    enter: Callable[..., Standing], client: MlflowClient
) -> None:
    margin = "registry.margin=0.02"
    enter(300, "not-worse", margin)
    passed = [enter(300 - 2 * step, "not-worse", margin) for step in range(1, 4)]
    assert [standing.promoted for standing in passed] == [True, False, False]
    assert "than the best one so far (version 1)" in passed[1].reason
    assert "3 models have been judged by these images" in passed[2].reason
    assert client.get_model_version(NAME, "2").tags["tune.best_champion"] == "1"
    assert enter(301, "not-worse", margin).promoted
    assert client.get_model_version(NAME, "5").tags["tune.best_champion"] == "5"


@pytest.mark.slow
def test_of_champions_that_noted_no_best_one_the_best_test_value_counts(
    enter: Callable[..., Standing], client: MlflowClient
) -> None:
    for version, right in enumerate((300, 320, 310), 1):
        enter(right, "always")
        client.set_model_version_tag(NAME, str(version), "test_acc", str(right / 360))
        client.delete_model_version_tag(NAME, str(version), "tune.best_champion")
    standing = enter(310)
    assert not standing.promoted
    assert "than the best one so far (version 2)" in standing.reason


@pytest.mark.slow
def test_a_best_champion_whose_files_are_gone_is_noted_on_and_told(
    enter: Callable[..., Standing], client: MlflowClient
) -> None:
    enter(320, recorded=False)
    enter(300, "always")
    shutil.rmtree(Path(client.get_model_version_download_uri(NAME, "1")) / "artifacts")
    client.set_model_version_tag(NAME, "2", "tune.best_champion", "1")
    margin = "registry.margin=0.02"
    standing = enter(298, "not-worse", margin)
    assert standing.promoted
    assert "; the best one so far (version 1) cannot be read (" in standing.reason
    assert standing.reason.endswith("): it was not compared")
    # Neither the one that could not be asked is forgotten, nor the best that could.
    assert client.get_model_version(NAME, "3").tags["tune.best_champion"] == "1 2"
    assert "than one of the best so far (version 2)" in enter(296, "not-worse", margin).reason


@pytest.mark.slow
def test_where_only_always_can_replace_the_champion_the_best_one_stays_noted(
    enter: Callable[..., Standing], client: MlflowClient
) -> None:
    enter(320)
    enter(300, "always", recorded=False)
    assert client.get_model_version(NAME, "2").tags["tune.best_champion"] == "1"
    shutil.rmtree(Path(client.get_model_version_download_uri(NAME, "2")) / "artifacts")
    assert "cannot be compared" in enter(280, "always").reason
    assert client.get_model_version(NAME, "3").tags["tune.best_champion"] == "1 3"
    assert "than one of the best so far (version 1)" in enter(280).reason


@pytest.mark.slow
def test_the_best_one_may_be_newer_than_the_champion_but_not_one_that_was_taken_back(
    enter: Callable[..., Standing], client: MlflowClient
) -> None:
    enter(300)
    enter(340)
    client.set_model_version_tag(NAME, "1", "tune.best_champion", "2")
    client.set_registered_model_alias(NAME, "champion", "1")
    standing = enter(301)
    assert not standing.promoted
    assert "than the best one so far (version 2)" in standing.reason
    client.set_model_version_tag(NAME, "2", "tune.promoted", "rolled back")
    assert enter(302).promoted


@pytest.mark.parametrize(
    "since", ["; it was rolled back since", "; it is no longer the champion", ""]
)
def test_a_decision_that_was_made_is_not_made_again(
    since: str, enter: Callable[..., Standing], client: MlflowClient
) -> None:
    enter(300)
    run, right = new_run(client), 300 if since else 200
    first = enter(right, run_id=run)
    if since == "; it was rolled back since":
        assert roll_back(client, NAME) == 1
    elif since == "; it is no longer the champion":
        enter(300)
    before = champion(client)
    again = enter(right, "always", run_id=run)
    assert (again.version, again.promoted, again.reason) == (2, False, first.reason + since)
    assert champion(client) == before
    tags = client.get_model_version(NAME, "2").tags
    assert tags["tune.decision"] == first.reason


def test_a_rollback_that_is_killed_does_not_mark_the_champion_as_taken_back(
    enter: Callable[..., Standing], client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(300)
    enter(340)
    for method in ("set_registered_model_alias", "set_model_version_tag"):
        with monkeypatch.context() as context:
            context.setattr(MlflowClient, method, raise_interrupt)
            with pytest.raises(KeyboardInterrupt):
                roll_back(client, NAME)
        now = champion(client)
        assert now == (2 if method == "set_registered_model_alias" else 1)
        assert client.get_model_version(NAME, str(now)).tags["tune.promoted"] == "yes"


@pytest.mark.slow
def test_what_could_not_be_compared_was_judged_by_its_images_too(
    enter: Callable[..., Standing], client: MlflowClient, dataset: Dataset
) -> None:
    other = challenger_of(classifier_of(("a", "b"), arch=SMALL), dataset, answers(dataset, 360))
    settle_champion(client, config_of("always"), other, new_run(client))
    assert "tune.test_images" not in client.get_model_version(NAME, "1").tags  # it met nobody
    assert "has other classes" in enter(300).reason
    assert "has other classes" in enter(300, "always").reason
    assert "3 models have been judged by these images" in enter(300).reason


def test_a_search_that_is_killed_and_resumed_registers_once(
    enter: Callable[..., Standing], client: MlflowClient
) -> None:
    enter(300)
    run = new_run(client)
    first = enter(310, run_id=run)
    again = enter(310, run_id=run)
    assert again.version == first.version == 2
    assert again.promoted
    assert len(client.search_model_versions()) == 2
    assert len(client.search_logged_models([client.get_run(run).info.experiment_id])) == 2


def test_a_kill_after_the_alias_moved_loses_nothing_of_the_decision(
    enter: Callable[..., Standing], client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(300)
    run = new_run(client)
    real = MlflowClient.set_registered_model_alias

    def move(self: MlflowClient, *args: str) -> None:
        real(self, *args)
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(MlflowClient, "set_registered_model_alias", move)
        with pytest.raises(KeyboardInterrupt):
            enter(340, run_id=run)
    again = enter(340, run_id=run)
    assert again.promoted
    assert "of the champion (version 1)" in again.reason
    tags = client.get_model_version(NAME, "2").tags
    assert (tags["tune.decision"], tags["tune.promoted"]) == (again.reason, "yes")


@pytest.mark.slow
def test_the_answers_of_another_winner_of_the_same_run_are_not_taken_for_its_own(
    enter: Callable[..., Standing], client: MlflowClient, dataset: Dataset
) -> None:
    enter(300)
    run_id = client.get_model_version(NAME, "1").run_id
    record(client, run_id, dataset, answers(dataset, 310))
    standing = enter(320)
    assert standing.comparison is not None
    assert standing.comparison.champion < 0.3  # shown the images again


@pytest.mark.slow
def test_a_search_that_grew_leaves_the_model_of_its_winner_before(
    enter: Callable[..., Standing], client: MlflowClient
) -> None:
    run = new_run(client)
    enter(300, run_id=run)
    enter(320, run_id=run)
    experiment = client.get_run(run).info.experiment_id
    models = client.search_logged_models([experiment], f"source_run_id = '{run}'")
    sources = {version.source for version in client.search_model_versions()}
    assert len(models) == len(sources) == 2
    for model in models:  # by its URI, or by its place where MLflow's own state is another store
        assert sources & {model.model_uri, model.artifact_location}


LOSS = "objective.metric=val_loss"


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare by no more resamples than `alpha` asks for: a comparison takes seconds."""
    monkeypatch.setattr("tune.models.comparison._EVALUATIONS", 1)


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize(
    "metric", first_third(["val_cost", "val_balanced_acc", "val_macro_f1", "val_auroc"])
)
def test_the_gate_goes_by_what_counts_classes_alike_and_by_costs(
    metric: str, enter: Callable[..., Standing], client: MlflowClient
) -> None:
    words = [f"objective.metric={metric}"]
    words += ["objective.costs.3.4=20"] if metric == "val_cost" else []
    enter(330, "not-worse", *words)
    worse = enter(250, "not-worse", *words)
    assert not worse.promoted
    assert worse.comparison is not None
    assert worse.comparison.most_lost > 0.01
    assert "and registry.margin allows only" in worse.reason
    better = enter(358, "not-worse", *words)
    assert better.promoted
    assert champion(client) == 3
    assert "resamples" in better.reason


@pytest.mark.slow
@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize(("sure", "promoted"), [(9.0, True), (3.0, False)])
def test_by_another_objective_the_better_one_is_the_champion_at_the_same_accuracy(
    sure: float, promoted: bool, enter: Callable[..., Standing], client: MlflowClient
) -> None:
    enter(360, "better", LOSS, sure=5.0)
    standing = enter(360, "better", LOSS, sure=sure)
    assert standing.promoted is promoted
    assert champion(client) == (2 if promoted else 1)
    found = standing.comparison
    assert found is not None
    assert found.p_value < 0.01
    assert found.champion == pytest.approx(np.log1p(9 * np.exp(-5.0)), rel=1e-4)
    assert (found.high < 0) is promoted
    tags = client.get_model_version(NAME, "2").tags
    assert float(tags["tune.champion_test_loss"]) == pytest.approx(found.champion, abs=1e-6)
    assert tags["tune.objective"] == "val_loss"
    assert "better than the champion (version 1); loss " in standing.reason


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("content", first_third(["another model", "nothing", "broken"]))
def test_by_another_objective_a_champion_without_its_predictions_is_shown_the_images(
    content: str, enter: Callable[..., Standing], client: MlflowClient, dataset: Dataset
) -> None:
    enter(360, "always", LOSS)
    run = client.get_run(client.get_model_version(NAME, "1").run_id)
    path = Path(run.info.artifact_uri.removeprefix("file://")) / "test_predictions.npz"
    if content == "another model":
        answers(dataset, 360, sure=5.0).save(path)
    elif content == "broken":
        path.write_bytes(b"broken")
    else:
        path.unlink()
    found = enter(360, "better", LOSS, sure=5.0).comparison
    assert found is not None
    assert found.champion > 1.0  # it has random weights
    assert found.is_better


@pytest.mark.slow
@pytest.mark.parametrize("order", [(320, 340), (340, 320)])
def test_of_two_that_end_together_the_better_one_is_the_champion(
    order: tuple[int, int], enter: Callable[..., Standing], client: MlflowClient
) -> None:
    enter(300)
    with ThreadPoolExecutor(2) as pool:
        standings = dict(zip(order, pool.map(enter, order), strict=True))
    assert champion(client) == standings[340].version
    first, second = sorted(standings.values(), key=lambda standing: standing.version)
    assert first.promoted
    assert second.comparison is not None
    assert (
        second.comparison.champion == (order[0] if standings[order[0]] is first else order[1]) / 360
    )


@pytest.mark.slow
def test_a_version_whose_search_was_killed_is_waited_for_no_longer_than_it_takes(
    enter: Callable[..., Standing], client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(300)
    client.delete_model_version_tag(NAME, "1", "tune.promoted")
    monkeypatch.setattr("tune.models.promotion._PATIENCE", 2.0)
    began = time.monotonic()
    assert enter(340).promoted
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_a_champion_that_saw_other_images_is_shown_these(
    enter: Callable[..., Standing], dataset: Dataset
) -> None:
    enter(300, recorded=False)
    standing = enter(300)
    assert standing.comparison is not None
    # It has random weights: what it really says, and not what was claimed, counts.
    assert standing.comparison.champion < 0.3


def test_a_champion_of_other_classes_is_not_compared(
    enter: Callable[..., Standing], client: MlflowClient, dataset: Dataset
) -> None:
    other = challenger_of(classifier_of(("a", "b"), arch=SMALL), dataset, answers(dataset, 360))
    settle_champion(client, config_of("always"), other, new_run(client))
    standing = enter(300)
    assert not standing.promoted
    assert "has other classes" in standing.reason
    assert champion(client) == 1


@pytest.mark.slow
def test_a_champion_whose_files_are_gone_is_told_and_stays(
    enter: Callable[..., Standing], client: MlflowClient
) -> None:
    enter(300, recorded=False)
    folder = Path(client.get_model_version_download_uri(NAME, "1"))
    shutil.rmtree(folder / "artifacts")
    standing = enter(340)
    assert not standing.promoted
    assert "version 1 cannot be read (" in standing.reason
    assert champion(client) == 1
    assert enter(340, "always").promoted


def test_a_champion_that_another_machine_made_meanwhile_is_seen(
    enter: Callable[..., Standing], client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(300)
    late = enter(340, "never")
    meanwhile = iter([True])

    def judge(*args: object) -> Comparison:
        if next(meanwhile, False):
            client.set_registered_model_alias(NAME, "champion", str(late.version))
        return compare_with(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("tune.models.promotion.compare_with", judge)
    standing = enter(302)
    assert standing.comparison is not None
    assert standing.comparison.champion == 340 / 360
    assert not standing.promoted
    assert champion(client) == late.version


@pytest.mark.parametrize("number", ["1", "2"])
def test_what_does_not_load_never_becomes_the_champion(
    number: str, enter: Callable[..., Standing], client: MlflowClient, tmp_path: Path
) -> None:
    enter(300)
    enter(340)
    weights = Path(client.get_model_version_download_uri(NAME, number)) / "artifacts"
    shutil.rmtree(weights)
    if number == "1":  # by going back
        back = invoke("tune.registry", NAME, "--rollback", cwd=tmp_path)
        assert back.returncode == 1
        assert f"{NAME} version 1 cannot be loaded (" in back.stderr
    else:  # by a search that was killed after it had registered it, and goes on
        client.set_registered_model_alias(NAME, "champion", "1")
        client.delete_model_version_tag(NAME, "2", "tune.promoted")
        run_id = client.get_model_version(NAME, "2").run_id
        with pytest.raises(ConfigError, match="version 2 cannot be loaded"):
            enter(340, run_id=run_id)
    assert champion(client) == (2 if number == "1" else 1)


def garbage_collect(uri: str, folder: Path) -> None:
    """Run MLflow's own command that deletes for good what was deleted."""
    words = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", uri]
    done = processes.run(
        [*words, "--artifacts-destination", str(folder / "mlruns")],
        cwd=folder,
        env={**user_environment(), "MLFLOW_TRACKING_URI": uri},
    )
    assert done.returncode == 0, done.stderr


def check_that_extending_keeps_every_version(
    client: MlflowClient, settle: Callable[..., Standing], folder: Path
) -> None:
    """A search that is extended twice, and killed once before it registers, and then cleaned up."""
    run_id = new_run(client)
    settle(300, run_id=run_id)
    settle(320, "never", run_id=run_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MlflowClient, "create_model_version", raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            settle(330, "never", run_id=run_id)
    settle(340, run_id=run_id)
    garbage_collect(client.tracking_uri, folder)
    for version in client.search_model_versions(f"name = '{NAME}'"):
        assert load_registered(client, version).spec.arch == SMALL
    assert champion(client) == 3
    assert roll_back(client, NAME) == 1


def raise_interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_extending_a_search_and_mlflows_garbage_collection_leave_every_version(
    enter: Callable[..., Standing], client: MlflowClient, tmp_path: Path
) -> None:
    check_that_extending_keeps_every_version(client, enter, tmp_path)


@pytest.mark.nightly
def test_so_they_do_on_postgresql(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with postgres() as server:
        client = MlflowClient(server.url)
        client.create_experiment("digits", f"file://{tmp_path / 'mlruns'}")
        check_that_extending_keeps_every_version(client, entering(client, dataset), tmp_path)


@pytest.mark.slow
def test_the_command_shows_the_history_and_rolls_back(
    enter: Callable[..., Standing], client: MlflowClient, tmp_path: Path
) -> None:
    for right in (300, 250, 340):
        enter(right)
    shown = invoke("tune.registry", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    words = [line.split()[:2] for line in shown.stdout.splitlines()]
    rows = [found for found in words if found and found[0].isdigit()]
    day = datetime.now().astimezone().strftime("%Y-%m-%d")  # or the one before, at midnight
    assert rows == [["3", "champion"], ["2", day], ["1", day]]
    assert "  version 2: not promoted (" in shown.stdout
    assert f"  version 1: {FIRST}\n" in shown.stdout
    assert champion(client) == 3
    back = invoke("tune.registry", NAME, "--rollback", cwd=tmp_path)
    assert back.stdout == f"{NAME} version 1 is the champion again\n"
    assert champion(client) == 1
    none = invoke("tune.registry", NAME, "--rollback", cwd=tmp_path)
    assert none.returncode == 1
    wrong = invoke("tune.registry", "resnet18-digit", cwd=tmp_path)
    assert wrong.returncode == 2
    assert f"nearest: {NAME}" in wrong.stderr


def test_a_version_is_promoted_by_hand_and_taken_back(
    enter: Callable[..., Standing], client: MlflowClient, tmp_path: Path
) -> None:
    enter(300)
    refused = enter(250).reason
    tested = {"2": "test accuracy 67.57% (95 % interval ", "1": "test accuracy 81.08% (95 % "}
    for version, right in (("1", 300), ("2", 250)):
        client.set_model_version_tag(NAME, version, TEST_ACC, str(right / 370))
        client.set_model_version_tag(NAME, version, Tag.TEST_COUNT, "370")
    listed = invoke("tune.registry", cwd=tmp_path).stdout
    done = invoke("tune.registry", "--promote=2", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    told, _, score = done.stdout.rstrip("\n").partition("; ")
    assert told == f"{NAME} version 2 is the champion, and no longer version 1"
    assert score.startswith(tested["2"])
    assert f"; {score}\n" in listed, "in the list's words"
    assert champion(client) == 2
    tags = client.get_model_version(NAME, "2").tags
    told = r"promoted by hand, \d{4}-\d\d-\d\d \d\d:\d\d UTC, over version 1; before that: "
    assert re.fullmatch(told + re.escape(refused), tags["tune.decision"])
    assert tags["tune.promoted"] == "yes"
    # The gate still asks for what the best one reached, which the worse champion does not hide.
    assert tags["tune.best_champion"] == "1 2"
    assert not enter(270).promoted

    again = invoke("tune.registry", "--promote=2", cwd=tmp_path)
    assert (again.returncode, champion(client)) == (1, 2)
    assert "version 2 is the champion already" in again.stderr
    back = invoke("tune.registry", "--rollback", cwd=tmp_path)
    told, _, score = back.stdout.partition("; ")
    assert told == f"{NAME} version 1 is the champion again"
    assert score.startswith(tested["1"])
    assert "2        rolled back  20" in invoke("tune.registry", cwd=tmp_path).stdout


@pytest.mark.slow
def test_an_older_version_that_was_promoted_by_hand_gives_way_to_the_newer_one_again(
    enter: Callable[..., Standing], client: MlflowClient, tmp_path: Path
) -> None:
    enter(300)
    enter(340)
    assert invoke("tune.registry", NAME, "--promote=1", cwd=tmp_path).returncode == 0
    assert champion(client) == 1
    assert roll_back(client, NAME) == 2
    assert roll_back(client, NAME) is None  # version 1 was taken back
    assert champion(client) == 2


def test_what_is_not_there_or_does_not_load_is_not_promoted_by_hand(
    enter: Callable[..., Standing], client: MlflowClient, tmp_path: Path
) -> None:
    enter(300)
    enter(250)
    missing = invoke("tune.registry", NAME, "--promote=3", cwd=tmp_path)
    assert missing.returncode == 2
    assert f"--promote 3: {NAME} has no such version; there is 1, 2" in missing.stderr
    shutil.rmtree(Path(client.get_model_version_download_uri(NAME, "2")) / "artifacts")
    before = dict(client.get_model_version(NAME, "2").tags)
    broken = invoke("tune.registry", NAME, "--promote=2", cwd=tmp_path)
    assert broken.returncode == 1
    assert f"{NAME} version 2 cannot be loaded (" in broken.stderr
    assert champion(client) == 1
    assert client.get_model_version(NAME, "2").tags == before


def test_of_several_models_the_one_to_change_is_named(
    enter: Callable[..., Standing], client: MlflowClient, tmp_path: Path
) -> None:
    enter(300)
    client.create_registered_model("another")
    for option in ("--rollback", "--promote=1"):
        done = invoke("tune.registry", option, cwd=tmp_path)
        assert done.returncode == 2
        assert f"several models are registered; name one of another, {NAME}" in done.stderr


def test_a_test_split_of_other_images_has_another_fingerprint(dataset: Dataset) -> None:
    images = dataset.test.images.clone()
    images[0, 0, 0, 0] += 1
    other = replace(dataset, test=replace(dataset.test, images=images))
    fewer = replace(dataset, train=replace(dataset.train, labels=torch.zeros(1)))
    assert other.test_fingerprint() != dataset.test_fingerprint()
    assert fewer.test_fingerprint() == dataset.test_fingerprint()
