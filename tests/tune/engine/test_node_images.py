"""Nodes with other images are refused by name; tests/e2e/test_cluster.py has real ones."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from trainable.data.datasets import load_dataset
from trainable.ray_trainable import why_no_data
from tune.base.errors import ConfigError
from tune.config.loading import load_config
from tune.engine.node_images import check_images
from tune.engine.nodes import Answer, name_of
from tune.study.search import Search

HEAD, FIRST, SECOND = (
    {
        "NodeID": f"id{number}",
        "NodeManagerHostname": f"node-{number}",
        "NodeManagerAddress": f"10.0.0.{number}",
        "Resources": resources,
    }
    for number, resources in enumerate(({}, {"CPU": 2.0}, {"CPU": 2.0}), start=1)
)


@pytest.fixture
def search() -> Search:
    config = load_config(None, ["data.source=digits", "data.image_size=8"])
    fingerprint = load_dataset(config.data, config.cache.of_images).fingerprint
    return Search(name="s", config=config, data_fingerprint=fingerprint, weights_hash=None)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three nodes, of which those that have CPUs answer as this machine would."""
    names: list[str] = []

    def ask(question: Callable[..., Any], *words: Any, nodes: Any, **_: Any) -> list[Answer]:
        assert question is why_no_data
        names.extend(map(name_of, nodes))
        return [Answer(name_of(node), question(*words)) for node in nodes]

    _cluster(monkeypatch, ask)
    return names


def _cluster(monkeypatch: pytest.MonkeyPatch, ask: Callable[..., list[Answer]]) -> None:
    where = "tune.engine.node_images"
    monkeypatch.setattr(f"{where}.is_one_of_several", lambda: True)
    monkeypatch.setattr(f"{where}.alive_nodes", lambda: [HEAD, FIRST, SECOND])
    monkeypatch.setattr(f"{where}.ask_each", ask)


def test_nodes_with_the_same_images_are_taken(search: Search, asked: list[str]) -> None:
    output = io.StringIO()
    check_images(search, Console(file=output))
    assert asked == ["node-2 (10.0.0.2)", "node-3 (10.0.0.3)"]  # none of the head's
    assert output.getvalue() == ""


@pytest.mark.usefixtures("asked")
def test_nodes_with_other_images_are_refused_each_by_its_name(search: Search) -> None:
    other = search.model_copy(update={"data_fingerprint": "of other images"})
    told = (
        r"not every node has the images .*\(node-2 \(.*these are not .*; node-3 \(.*byte for byte"
    )
    with pytest.raises(ConfigError, match=told):
        check_images(other, Console(file=io.StringIO()))


def test_a_node_that_does_not_answer_in_time_is_named_and_left_to_its_trials(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = [Answer(name_of(FIRST)), Answer(name_of(SECOND), error="no answer in 600 s")]
    _cluster(monkeypatch, lambda *_, **__: late)
    output = io.StringIO()
    check_images(search, Console(file=output))
    assert output.getvalue().strip() == (
        "node-3 (10.0.0.3) has not said whether it has these images (no answer in 600 s): its "
        "trials will look"
    )
