"""The points that are learned from the curves of other tasks."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.benchmarks.strategies.conftest import TASKS, Import
from tests.helpers.commands import REPOSITORY
from tests.helpers.recorded import true_accuracy
from tune.config.points import Points


def test_the_portfolio_is_greedy_and_has_the_recipe(script: Import) -> None:
    greedy = script("portfolio").greedy
    regrets = np.array([[0.5, 0.0, 0.9, 0.4], [0.5, 0.9, 0.0, 0.4]])
    assert greedy(regrets, []) == 3  # the best alone
    assert greedy(regrets, [3]) == 1  # of two that are equally good beside it, the first
    assert greedy(regrets, [3, 1]) == 2
    # Each task has its best point: of the others, the one that is the best by itself.
    assert greedy(np.array([[0.9, 0.0, 0.8, 0.2], [0.9, 0.8, 0.0, 0.3]]), [1, 2]) == 3


def test_a_portfolio_is_learned_without_the_task_that_is_searched(
    folder: Path, script: Import
) -> None:
    replay, portfolio = script("replay"), script("portfolio")
    without = replay._learned(str(folder), "hymenoptera")
    other = portfolio.Teacher(script("rows").read(folder / "cifar10_500.jsonl"))
    assert without == [point.params for point in portfolio.learn([other], 7)]
    # It is good where it was learned, more than half as good as the best config there is.
    best = true_accuracy(without[0], 1.0, 3e-3)
    random = np.mean([true_accuracy(each, 1.0, 3e-3) for each in other.params])
    assert best > random


def test_the_digits_teach_no_photographs(script: Import) -> None:
    teachers = script("tasks").teachers
    assert "digits" not in teachers() + teachers("hymenoptera") + teachers("cifar10_500")
    assert teachers("digits") == teachers()
    assert set(teachers()) - set(teachers("hymenoptera")) == {"hymenoptera"}
    assert teachers("cifar10_5000") == ["hymenoptera"]


def test_test_images_choose_no_point(
    folder: Path, tmp_path: Path, script: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = np.random.default_rng(0)
    for task in ("hymenoptera", "cifar10_500"):
        records = script("rows").read(folder / f"{task}.jsonl")
        for record in records:
            for epoch in record["epochs"]:
                epoch.update({"test_acc": drawn.random()} if "test_acc" in epoch else {})
        lines = [json.dumps(record) for record in records]
        (tmp_path / f"{task}.jsonl").write_text("\n".join(lines))
    printed = []
    for curves in (folder, tmp_path):
        script("portfolio").main(["--curves", str(curves)])
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


@pytest.mark.slow
def test_the_learned_portfolio_is_what_the_script_prints(
    script: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    script("portfolio").main([])
    shipped = REPOSITORY / "configs" / "portfolios" / "learned.yaml"
    assert capsys.readouterr().out == shipped.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("task", "teachers"), [("hymenoptera", 4), ("cifar10_5000", 1)])
def test_a_live_search_tries_a_portfolio_that_was_learned_without_its_images(
    task: str, teachers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    path = importlib.import_module("live").portfolio_without(task, tmp_path)
    assert len(Points.model_validate(yaml.safe_load(path.read_text())).points) == 5
    (learned,) = (line for line in path.read_text().splitlines() if "configs on" in line)
    assert task not in learned.partition(" on ")[2]
    assert learned.count(",") + 1 == teachers


def test_what_shares_images_is_left_out_together(script: Import) -> None:
    overlap = script("tasks").overlap
    assert overlap("cifar10_500", "cifar10_2000")
    assert overlap("vehicles_400", "cifar10_500")
    assert overlap("cifar10_500", "animals_1200")
    assert overlap("digits", "digits")
    assert not overlap("animals_1200", "vehicles_400")
    assert not overlap("digits", "hymenoptera")


def test_the_recipe_is_that_of_the_preset(script: Import) -> None:
    recipe = script("portfolio").recipe
    photographs = yaml.safe_load((REPOSITORY / "configs" / "image_folder.yaml").read_text())
    for task, depth in (("hymenoptera", 0), ("cifar10_500", 1)):  # which has to train layer4
        assert recipe(task)["augment.policy"] == photographs["augment"]["policy"]
        assert recipe(task)["optim.lr"] == photographs["optim"]["lr"]
        assert recipe(task)["model.unfreeze_depth"] == depth
        assert recipe(task)["schedule.warmup"] == 0.3
    preset = yaml.safe_load((REPOSITORY / "configs" / "digits.yaml").read_text())
    assert recipe("digits")["model.unfreeze_depth"] == preset["model"]["unfreeze_depth"]
    assert recipe("digits")["train.batch_size"] == preset["train"]["batch_size"]


def test_a_point_is_mapped_to_what_a_task_has(script: Import) -> None:
    portfolio = script("portfolio")
    point = {**portfolio.recipe("hymenoptera"), "augment.policy": "flip", "model.unfreeze_depth": 0}
    assert portfolio.nearest("digits", point)["augment.policy"] == "none"
    assert portfolio.nearest("cifar10_500", point)["augment.policy"] == "flip"
    assert portfolio.nearest("cifar10_500", point)["model.unfreeze_depth"] == 1


def test_the_portfolio_is_written_as_a_file_that_a_search_takes(
    folder: Path, script: Import
) -> None:
    portfolio, rows = script("portfolio"), script("rows")
    known = [portfolio.Teacher(rows.read(folder / f"{task}.jsonl")) for task in TASKS]
    learned = portfolio.learn(known, 4)
    points = Points.model_validate(yaml.safe_load(portfolio.written(learned))).points
    assert [each.name for each in points] == ["learned_1", "learned_2", "learned_3", "learned_4"]
    for point, found in zip(points, learned, strict=True):
        assert point.values.keys() == script("tasks").SPACE.keys()
        assert point.values["optim.lr"] == pytest.approx(found.params["optim.lr"], rel=0.1)
