"""The names in MLflow stand in one file, and what older versions wrote is read by them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag

import tune
from tests.helpers.searches import FinishedSearch
from tune.study.trial import FACTS
from tune.tracking.schema import Artifact, Tag, champion_score, confirmed
from tune.tracking.tags import FactTags, SearchTags, TrialTags, VersionTags

SOURCES = sorted(Path(tune.__file__).parent.rglob("*.py"))
PAGES = (Artifact.REPORT, Artifact.DATA)


def test_no_other_file_spells_a_tag_or_an_artifact() -> None:
    values = [
        value for kind in (Tag, Artifact) for key, value in vars(kind).items() if key.isupper()
    ]
    # A door says its own name, help and templates those of pages, and `model` and the like are
    # words of their own.
    names = {value for value in values if "." in value} - {"tune.search", "tune.data", *PAGES}
    spelled = re.compile("|".join(re.escape(f"{name}") + r"""["'`]""" for name in names))
    found = {path.name for path in SOURCES if spelled.search(path.read_text())}
    assert found == {"schema.py"}


def test_nothing_sets_the_state_of_mlflow() -> None:
    sets = re.compile(
        r"\bset_(tracking_uri|registry_uri|experiment)\(|\bstart_run\(|MlflowClient\(\)"
    )
    assert [path.name for path in SOURCES if sets.search(path.read_text())] == []


def test_the_tags_of_a_search_and_its_trials_are_read(finished_search: FinishedSearch) -> None:
    (parent,) = finished_search.runs("search")
    search = SearchTags.of(parent)
    assert search.ingredients
    assert search.score == parent.data.metrics["best_val_acc"]
    assert search.objective.name == "val_acc"
    assert "first champion" in search.decision
    trials = finished_search.runs("trial")
    read = [TrialTags.of(run) for run in trials]
    assert [(one.kind, one.number) for one in read if one] == [("trial", n) for n in range(5)]
    assert TrialTags.of(parent) is None
    for run in trials:
        facts = FactTags.of(run)
        assert {name: str(getattr(facts, name)) for name in FACTS} == {
            name: run.data.tags[f"tune.{name}"] for name in FACTS
        }


def version_with(**tags: str) -> ModelVersion:
    made = [ModelVersionTag(name.replace("tune_", "tune."), value) for name, value in tags.items()]
    return ModelVersion("digits", "1", 0, tags=made)


def test_a_version_of_before_objectives_was_after_the_accuracy() -> None:
    read = VersionTags.of(version_with(test_acc="0.5", test_loss="2", confirmed_val_acc="0.6"))
    assert (read.objective.name, read.test, read.confirmed) == ("val_acc", 0.5, 0.6)
    assert champion_score(read.objective) == "tune.champion_test_acc"
    assert confirmed(read.objective) == "confirmed_val_acc"


def test_a_version_is_read_by_its_own_objective() -> None:
    read = VersionTags.of(
        version_with(
            test_acc="0.5", test_loss="2", confirmed_val_loss="3", tune_objective="val_loss"
        )
    )
    assert (read.accuracy, read.test, read.confirmed) == (0.5, 2.0, 3.0)


@pytest.mark.parametrize(
    ("tag", "promoted"), [("yes", True), ("no", False), ("rolled back", False), (None, None)]
)
def test_a_version_that_is_not_decided_of_is_no_refused_one(
    tag: str | None, promoted: bool | None
) -> None:
    tags = {} if tag is None else {"tune_promoted": tag}
    assert VersionTags.of(version_with(**tags)).promoted is promoted


def test_a_version_says_what_its_test_images_leave_possible() -> None:
    of = VersionTags.of(version_with(test_acc="0.75", tune_test_count="4"))
    assert of.sureness == "95 % interval 30.06% to 95.44%, on 4 images"
    for lacks in (version_with(test_acc="0.75"), version_with(tune_test_count="4")):
        assert VersionTags.of(lacks).sureness == ""
