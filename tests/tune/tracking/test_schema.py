"""The names in MLflow stand in one file, and what older versions wrote is read by them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag

import tune
from tests.helpers.searches import FinishedSearch
from tune.study.trial import FACTS
from tune.tracking import schema
from tune.tracking.schema import Artifact, Tag, champion_score, confirmed, facts_as_tags
from tune.tracking.tags import FactTags, SearchTags, TrialTags, VersionTags

SCHEMA = Path(schema.__file__)
SOURCES = sorted(Path(tune.__file__).parent.rglob("*.py"))
WORDS = {schema.SEARCH_KIND, schema.REFIT_KIND, Artifact.MODEL, schema.OWN}
"""Names that are words of their own elsewhere: a command, a kind of trial, a section of keys."""
ANSWERS = {schema.YES, schema.NO}
"""The same, where no tag is written."""


def constants() -> set[str]:
    """The values of all constants in the schema."""
    found = (vars(kind).items() for kind in (schema, Tag, Artifact))
    return {
        value for each in found for key, value in each if key.isupper() and isinstance(value, str)
    }


def spelled(tree: ast.AST) -> Iterator[str]:
    """The texts of a file that are no docstrings, and `{}_{.name}` of one that is put together."""
    if isinstance(tree, ast.Call) and getattr(tree.func, "id", "") in ("template", "Door"):
        return  # a page's template has the page's name, a command its own
    if isinstance(tree, ast.Assign | ast.AnnAssign) and "__all__" in ast.unparse(tree):
        return
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str):
        yield tree.value
    if isinstance(tree, ast.JoinedStr):
        yield "".join(shape(part) for part in tree.values)
    if isinstance(tree, ast.Expr) and isinstance(tree.value, ast.Constant):
        return
    for child in ast.iter_child_nodes(tree):
        yield from spelled(child)


def shape(part: ast.expr) -> str:
    """A part of a text that is put together; of a value, only that it is one, or a name."""
    if isinstance(part, ast.Constant):
        return str(part.value)
    value = part.value if isinstance(part, ast.FormattedValue) else part
    return "{.name}" if isinstance(value, ast.Attribute) and value.attr == "name" else "{}"


def test_no_other_file_spells_a_name_of_the_record() -> None:
    names = constants() - WORDS - ANSWERS
    made = re.compile(
        rf"{{}}_{{\.name}}|(best|confirmed|known)_{{.*|{re.escape(schema.OWN)}champion_.*|.*_spread"
    )
    found = []
    for path in SOURCES:
        text = path.read_text()
        given = names | ANSWERS if re.search(r"\bTag\.", text) else names
        found += [
            (path, word)
            for word in spelled(ast.parse(text))
            if path != SCHEMA and (word in given or made.fullmatch(word))
        ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        'tags["tune.promoted"]',
        'scores["test_acc"]',
        'metrics.get("model_seconds_an_image")',
        'folder / "report.html"',
        'f"{candidate}_{objective.name}"',
        'f"best_{metric}"',
        'tags[Tag.PROMOTED] = "yes"',
    ],
)
def test_such_a_name_is_seen_wherever_it_is_spelled(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "schema.py").write_text(text)  # the file's name alone excuses nothing
    monkeypatch.setattr(f"{__name__}.SOURCES", [tmp_path / "schema.py"])
    with pytest.raises(AssertionError):
        test_no_other_file_spells_a_name_of_the_record()


def test_what_a_trial_depends_on_has_the_tags_that_are_read() -> None:
    written = facts_as_tags(dict.fromkeys(FACTS, "1"))
    run = SimpleNamespace(data=SimpleNamespace(tags=written))
    assert FactTags.of(run).processor == "1"
    assert written.keys() <= {value for key, value in vars(Tag).items() if key.isupper()}


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
