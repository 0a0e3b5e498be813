from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from tests.helpers.commands import DIGITS
from tests.helpers.images import write_folders
from tests.helpers.studies import reported, search_of
from trainable.data.datasets import load_dataset
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.strategy.memory import MOST_POINTS, is_split_otherwise, remembered
from tune.strategy.portfolio import choose, open_search
from tune.study.fingerprints import hash_classes
from tune.study.search import Search
from tune.study.trial import Decision

WEIGHTS = "hash of the first weights"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'optuna.db'}"


def config_of(url: str, *given: str) -> SearchConfig:
    return load_config(DIGITS, [f"tracking.study={url}", "data.limit=60", *given])


def earlier(
    url: str,
    name: str,
    *given: str,
    scores: tuple[float, ...] = (0.5, 0.9, 0.7),
    state: TrialState = TrialState.COMPLETE,
    **changed: Any,
) -> Search:
    """A search of random trials that has ended with these scores."""
    config = config_of(url, "sampler.name=random", f"sampler.seed={sum(map(ord, name))}", *given)
    dataset = load_dataset(config.data)
    known = {
        "data_fingerprint": dataset.fingerprint,
        "classes_hash": hash_classes(dataset.classes),
        "weights_hash": WEIGHTS,
        **changed,
    }
    search = search_of(config, url, name, name).model_copy(update=known)
    ledger = open_search(search)
    for number, score in enumerate(scores):
        ledger.begin()
        ledger.add_epoch(number, 1, reported(score), Decision.GO_ON)
        ledger.end(number, state)
    return search


def names(url: str, *given: str) -> list[str]:
    """The searches from which a new one takes points."""
    config = config_of(url, *given)
    found = remembered(config, load_dataset(config.data), WEIGHTS)
    return [point.why.split("search ")[1].split(",")[0] for point in found]


def test_the_best_trial_of_a_search_on_the_same_images_is_tried_after_the_own_recipe(
    url: str,
) -> None:
    search = earlier(url, "photos")
    config = config_of(url)
    dataset = load_dataset(config.data)
    (point,) = remembered(config, dataset, WEIGHTS)
    assert point.why == "trial 1 of search photos, its best on the same images: val_acc 90.00%"
    portfolio = choose(config, [point], {"images": len(dataset.train)})
    assert [each.name for each in portfolio.points] == ["config", "earlier-1"]
    best = open_search(search).trials[1].params
    assert portfolio.points[1].values == best


def test_nothing_is_remembered_where_it_is_not_wanted_or_there_is_no_storage(url: str) -> None:
    assert names(url) == []
    assert not Path(url.removeprefix("sqlite:///")).exists()
    earlier(url, "photos")
    assert names(url, "strategy.transfer=false") == []
    assert names(url, "sampler.points=[{optim.lr: 1e-3}]") == []
    assert names(url) == ["photos"]


@pytest.mark.slow
def test_the_same_images_come_before_the_same_classes_and_the_latest_first(url: str) -> None:
    earlier(url, "first")
    earlier(url, "second", data_fingerprint="other images")
    earlier(url, "third", data_fingerprint="other images", classes_hash="of other classes")
    earlier(url, "fourth")
    assert names(url) == ["fourth", "first"]
    assert MOST_POINTS == 2
    other = "data.limit=80"
    assert names(url, other) == ["fourth", "second"]


@pytest.mark.slow
def test_what_started_or_aimed_elsewhere_is_no_kin(url: str) -> None:
    earlier(url, "loss", "objective.metric=val_loss")
    earlier(url, "deeper", "model.arch=resnet34", "model.weights=random")
    earlier(url, "elsewhere", weights_hash="of a file that was overwritten since")
    earlier(url, "random", weights_hash=None)
    assert names(url) == []


def test_images_that_were_split_otherwise_are_no_kin(url: str) -> None:
    """What is tested now may have been validated on then."""
    earlier(url, "more", "data.test_fraction=0.5", data_fingerprint="split otherwise")
    assert names(url) == []


def test_a_folder_is_the_same_by_whatever_path(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folders(tmp_path / "images", ["a", "b"], 40)
    monkeypatch.chdir(tmp_path)
    source, other = "data.source=image_folder", {"data_fingerprint": "split otherwise"}
    earlier(url, "more", source, "data.root=images", "data.test_fraction=0.5", **other)
    assert names(url, source, f"data.root={tmp_path / 'images'}") == []
    earlier(url, "as-now", source, "data.root=images", **other)
    assert names(url, source, f"data.root={tmp_path / 'images'}") == ["as-now"]


@pytest.mark.parametrize(
    ("then", "now", "is_kin"),
    [
        ("data.name=DTD?partition=1", "data.name=DTD?partition=2", False),
        ("data.name=DTD?partition=2", "data.name=DTD?partition=2", True),
        ("data.name=DTD data.split_rule=1", "data.name=DTD data.split_rule=1 data.limit=50", False),
        ("data.name=DTD", "data.name=DTD data.limit=50", True),
    ],
)
def test_images_of_other_parts_of_a_set_are_no_kin(then: str, now: str, is_kin: bool) -> None:
    earlier, later = (
        load_config(DIGITS, ["data.source=torchvision", *words.split()]).data
        for words in (then, now)
    )
    assert is_split_otherwise(earlier, later) is not is_kin


def test_a_trial_of_a_searched_architecture_is_taken(url: str) -> None:
    words = ("space.model.arch=[resnet18, resnet34]", "model.weights=random")
    search = earlier(url, "both", *words, scores=(0.4, 0.5, 0.6, 0.9), weights_hash=None)
    config = config_of(url, *words)
    (point,) = remembered(config, load_dataset(config.data), None)
    log = open_search(search).trials[3]
    assert point.values["model.arch"] == log.params["model.arch"]


def test_a_search_without_a_complete_trial_gives_nothing(url: str) -> None:
    earlier(url, "stopped", state=TrialState.PRUNED)
    assert names(url) == []


def test_the_same_trial_is_tried_once(url: str) -> None:
    for name in ("one", "two"):
        earlier(url, name, "sampler.seed=1")
    assert names(url) == ["two"]


def test_its_rate_is_for_the_batch_that_it_was_trained_in(url: str) -> None:
    earlier(url, "photos", "train.batch_size=16", "optim.lr=0.002", scores=(0.5,))
    space = ["space.optim={lr: {low: 1e-4, high: 1e-2, log: true}}", "train.batch_size=64"]
    config = config_of(url, *space, "data.limit=1000")
    config = config.model_copy(update={"data": config_of(url).data})
    (point,) = remembered(config, load_dataset(config.data), WEIGHTS)
    chosen = choose(config, [point], {"images": 1000})
    (found,) = [each for each in chosen.points if each.name == "earlier-1"]
    assert found.values["optim.lr"] == pytest.approx(0.002 * 2, rel=0.01)  # AdamW: the square root


def test_a_storage_that_cannot_be_used_is_left_to_the_search_to_complain_of(tmp_path: Path) -> None:
    path = tmp_path / "optuna.db"
    path.write_text("no database")
    assert names(f"sqlite:///{path}") == []
