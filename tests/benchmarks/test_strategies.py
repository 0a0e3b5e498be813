"""The replay of strategies, on records of tasks that are made up."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import optuna
import pytest
import yaml

from tests.helpers.commands import REPOSITORY
from tests.helpers.recorded import LENGTHS, TEST, VALIDATION, true_accuracy, write_records
from tune.config.points import Points

STRATEGIES = REPOSITORY / "benchmarks" / "strategies"
TASKS = ("digits", "hymenoptera", "cifar10_500")
Import = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def script() -> Iterator[Import]:
    """Imports what lies beside the replay."""
    before = set(sys.modules)
    sys.path.insert(0, str(STRATEGIES))
    yield importlib.import_module
    sys.path.remove(str(STRATEGIES))
    for name in set(sys.modules) - before:  # their names are common
        if (STRATEGIES / f"{name}.py").exists():
            del sys.modules[name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tasks; of the second, another learning rate is the best."""
    found = tmp_path_factory.mktemp("curves")
    for task, rate in zip(TASKS, (3e-3, 1e-3, 3e-3), strict=True):
        write_records(found, task, configs=24, best_rate=rate)
    return found


@pytest.fixture(scope="module")
def records(folder: Path, script: Import) -> list[dict[str, object]]:
    return script("rows").read(folder / "digits.jsonl")  # type: ignore[no-any-return]


def test_the_helper_has_the_benchmarks_lengths(script: Import) -> None:
    assert script("tasks").LENGTHS == LENGTHS


def test_a_config_reports_the_same_however_often_it_is_asked_for(
    records: list[dict[str, object]], script: Import
) -> None:
    known = script("curves").Surrogate(records)
    one, again, other = known.landscape(1), known.landscape(1), known.landscape(2)
    params = [{**each, "optim.weight_decay": 0.01} for each in known.params]

    def told(landscape: object) -> list[list[tuple[float, float]]]:
        trials = [landscape(each) for each in params]  # type: ignore[operator]
        return [[(e["val_acc"], e["test_acc"]) for e in trial] for trial in trials]

    assert told(one) == told(one) == told(again)
    assert told(one) != told(other)


def test_another_seed_changes_what_a_run_reports_but_nothing_that_can_be_won(
    records: list[dict[str, object]], script: Import
) -> None:
    known = script("curves").Surrogate(records)
    landscape, params = known.landscape(0), known.params[0]
    runs = [landscape({**params, "train.seed": seed})[5] for seed in range(20)]
    assert len({run["val_acc"] for run in runs}) > 1
    assert len({run["test_acc"] for run in runs}) == 1


def test_answers_lie_within_the_records_and_are_shares_of_the_images(
    records: list[dict[str, object]], script: Import
) -> None:
    curves = script("curves")
    known = curves.Surrogate(records)
    assert known.noise.images == (VALIDATION, TEST)
    tests = [e["test_acc"] for r in records for e in r["epochs"] if "test_acc" in e]  # type: ignore[attr-defined]
    for seed, params in enumerate(known.params):
        trial = known.landscape(seed)({**params, "train.epochs": LENGTHS[seed % 2]})
        assert len(trial) == LENGTHS[seed % 2]
        for epoch in trial:
            assert min(tests) <= epoch["test_acc"] <= max(tests)
            right = epoch["val_acc"] * VALIDATION
            assert right == pytest.approx(round(right))


@pytest.mark.slow
def test_the_surrogate_knows_good_configs_that_it_has_not_seen(
    tmp_path: Path, script: Import
) -> None:
    write_records(tmp_path, "digits", configs=40)
    validation = script("validation")
    found = validation.held_out(script("rows").read(tmp_path / "digits.jsonl"), {})
    assert found["rank"] > 0.7
    assert 0.5 < found["within"] < 0.95
    assert found["drawn_apart"] == pytest.approx(found["apart"], rel=0.5)
    assert found["seconds"] < 20


def test_noise_is_that_of_configs_that_were_recorded_under_several_seeds(
    records: list[dict[str, object]], script: Import
) -> None:
    full = [r for r in records if r["length"] == max(LENGTHS) and r["number"] < 6]  # type: ignore[operator]
    again = [{**r, "again": time, "epochs": r["epochs"]} for r in full for time in (1, 2)]
    known = script("curves").Surrogate([*records, *again])
    landscape, params = known.landscape(0), known.params[0]
    runs = [landscape({**params, "train.seed": seed}) for seed in range(5)]
    # The same again and again, so there is none, neither in validation nor in test.
    assert len({str([(e["val_acc"], e["test_acc"]) for e in run]) for run in runs}) == 1


def test_the_run_by_which_a_config_was_chosen_lends_no_noise(
    records: list[dict[str, object]], script: Import
) -> None:
    full = [r for r in records if r["length"] == max(LENGTHS) and r["number"] < 6]  # type: ignore[operator]
    again = [{**r, "again": time} for r in full for time in (1, 2)]
    lucky = [
        {**r, "epochs": [{**e, "val_acc": 1.0} for e in r["epochs"]]} if r in full else r  # type: ignore[attr-defined]
        for r in records
    ]
    _, rests = script("curves")._repeated([*lucky, *again])
    assert np.all(rests == 0)


def test_views_of_fixed_policies_cost_what_their_first_epochs_took(
    records: list[dict[str, object]], script: Import
) -> None:
    made = [{**r, "params": {**r["params"], "augment.policy": "flip"}} for r in records]  # type: ignore[dict-item]
    for place, record in enumerate(made):
        taken = [0.4 if place < 3 else 0.01, *[0.0] * (len(record["epochs"]) - 1)]  # type: ignore[arg-type]
        record["epochs"] = [
            {**epoch, "prepare_seconds": seconds}
            for epoch, seconds in zip(record["epochs"], taken, strict=True)  # type: ignore[call-overload]
        ]
        record["params"] = {**record["params"], "model.unfreeze_depth": 2}  # type: ignore[dict-item]
    known = script("curves").Surrogate(made)
    assert known.seconds.prepare(made[0]["params"]) == pytest.approx(0.4)


def test_a_view_is_computed_once_in_a_search(
    records: list[dict[str, object]], script: Import
) -> None:
    known = script("curves").Surrogate(records)
    params = {**known.params[0], "augment.policy": "none", "optim.lr": 1e-3}
    landscape = known.landscape(0)
    first = [epoch["epoch_seconds"] for epoch in landscape(params)]
    second = [epoch["epoch_seconds"] for epoch in landscape({**params, "optim.lr": 2e-3})]
    start = script("answers").START_SECONDS
    assert first[0] > first[1] + start  # it computed the view of all epochs
    assert first[1:] == pytest.approx([first[1]] * 5)
    assert second[0] == pytest.approx(second[1] + start)


@pytest.mark.slow
def test_every_contestant_is_busy_until_its_trials_or_the_time_are_over(
    folder: Path, script: Import
) -> None:
    replay, portfolio, contestants = script("replay"), script("portfolio"), script("contestants")
    replay._quietly()
    records = script("rows").read(folder / "digits.jsonl")
    known = script("curves").Surrogate(records)
    longest = 0.5 + 0.5 + 5 + 0.5  # seconds of an epoch, its view and its trial's start
    learned = [point.params for point in portfolio.learn([portfolio.Teacher(records)], 8)]
    for contestant in contestants.CONTESTANTS:
        if contestant.slow:
            continue
        landscape = known.landscape(3)
        ledger, scheduler = contestant.open("digits", 3, learned)
        end = script("replay").simulate(ledger, scheduler, landscape, 2, until=60.0)
        began_all = len(ledger.trials) == contestant.samples < contestants.ENDLESS
        assert 60 - longest < end <= 60 or began_all, contestant.name


def test_what_the_presets_do_ends_after_as_many_trials(folder: Path, script: Import) -> None:
    contestants = script("contestants")
    known = script("curves").Surrogate(script("rows").read(folder / "hymenoptera.jsonl"))
    preset = yaml.safe_load((REPOSITORY / "configs" / "image_folder.yaml").read_text())
    limited = [each for each in contestants.CONTESTANTS if each.name.endswith(", 20")]
    assert [each.ours for each in limited] == [False, True]
    for contestant in limited:
        ledger, scheduler = contestant.open("hymenoptera", 0)
        script("replay").simulate(ledger, scheduler, known.landscape(0), 2)
        assert len(ledger.trials) == preset["budget"]["num_samples"]


@pytest.mark.slow
def test_no_contestant_draws_the_configs_that_were_recorded_first(script: Import) -> None:
    contestants, record = script("contestants"), script("record")
    drawn = [record.proposal("digits", n, record.config_of("digits", Path())) for n in range(8)]
    for contestant in contestants.CONTESTANTS:
        ledger, _ = contestant.open("digits", 0)
        proposed = [ledger.begin() for _ in range(6)]
        assert not [log.number for log in proposed if log and log.params in drawn], contestant.name


def test_a_point_for_the_head_alone_is_not_tried_where_layers_have_to_train(
    script: Import,
) -> None:
    contestants, recipe = script("contestants"), script("portfolio").recipe("hymenoptera")
    (ours,) = (each for each in contestants.CONTESTANTS if each.default)
    learned = [{**recipe, "optim.lr": 0.02, "model.unfreeze_depth": depth} for depth in (0, 3)]
    for task, depths in (("hymenoptera", [0, 0, 3]), ("cifar10_500", [1, 3])):
        ledger, _ = ours.open(task, 1, learned)
        first = [ledger.begin() for _ in depths]
        assert [log.params["model.unfreeze_depth"] for log in first if log] == depths


def test_the_space_before_is_what_the_preset_searched(script: Import) -> None:
    contestants, recipe = script("contestants"), script("portfolio").recipe
    (old,) = (e for e in contestants.CONTESTANTS if e.name == "space before, TPE each + ASHA")
    policies = {"augment.policy", "model.unfreeze_depth"}
    searched = {"optim.lr", "optim.weight_decay", "optim.label_smoothing", *policies}
    for task, keys in (("hymenoptera", searched), ("digits", {"optim.lr", *policies})):
        ledger, _ = old.open(task, 0)
        trials = [log.params for log in (ledger.begin() for _ in range(12)) if log]
        assert {key for key in trials[0] if len({each[key] for each in trials}) > 1} == keys
        for key in trials[0].keys() - keys:
            assert trials[-1][key] == recipe(task)[key]


def test_finalists_run_again_within_the_time_and_the_best_mean_wins(
    folder: Path, script: Import
) -> None:
    replay, contestants = script("replay"), script("contestants")
    known = script("curves").Surrogate(script("rows").read(folder / "digits.jsonl"))
    (ours,) = (e for e in contestants.CONTESTANTS if e.name == "portfolio, TPE + ASHA, confirmed")
    landscape, until = known.landscape(2), 200.0
    end, steps = replay.search("digits", landscape, ours, 2, until=until)
    (at, test), (before, _) = steps[-1], steps[-2]
    assert before < at == end <= until
    ledger, scheduler = ours.open("digits", 2)
    last = replay.simulate(ledger, scheduler, landscape, 2, until=0.8 * until)
    found = script("confirming").confirm(ledger, 2, 2, landscape, 2)
    assert (at, test) == (last + found.seconds, found.test)
    chosen = script("confirming").finalists(ledger.trials.values(), 2)
    runs = [
        [
            landscape({**trial.params, "train.seed": seed})[trial.best - 1]["val_acc"]
            for seed in (1, 2)
        ]
        for trial in chosen
    ]
    winner = chosen[int(np.argmax(np.mean(runs, axis=1)))]
    assert len({str(each) for each in runs}) == 2
    assert test in [each["test_acc"] for each in landscape(winner.params)]
    seconds = [sum(e["epoch_seconds"] for e in landscape(t.params)) for t in chosen]
    assert found.seconds == pytest.approx(2 * max(seconds), rel=0.5)


def test_finalists_that_take_too_long_are_given_their_time_or_left_out(
    folder: Path, script: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay, contestants = script("replay"), script("contestants")
    known = script("curves").Surrogate(script("rows").read(folder / "digits.jsonl"))
    (ours,) = (e for e in contestants.CONTESTANTS if e.name == "portfolio, TPE + ASHA, confirmed")
    (without,) = (e for e in contestants.CONTESTANTS if e.default)
    landscape, until = known.landscape(2), 200.0
    asked, took = list[float](), [70.0, 60.0]
    real = replay.simulate

    def spy(*words: object, until: float, **given: object) -> float:
        asked.append(until)
        return float(real(*words, until=until, **given))

    def confirm(*_: object) -> object:
        return script("confirming").Confirmed(took[len(asked) - 1], 0.5)

    monkeypatch.setattr(replay, "simulate", spy)
    monkeypatch.setattr(replay, "confirm", confirm)
    end, steps = replay.search("digits", landscape, ours, 2, until=until)
    assert asked == pytest.approx([160, 200 - 1.1 * 70])
    assert steps[-1] == (end, 0.5)
    assert end <= until
    took[:] = [90.0]  # more than a search holds back
    asked.clear()
    assert replay.search("digits", landscape, ours, 2, until=until) == replay.search(
        "digits", landscape, without, 2, until=until
    )
    nothing = ours.open("digits", 3)[0]
    assert script("confirming").confirm(nothing, 2, 2, landscape, 2) is None


def test_what_begins_all_trials_at_once_has_as_many_as_fit(folder: Path, script: Import) -> None:
    replay, contestants = script("replay"), script("contestants")
    replay._quietly()
    (halved,) = (e for e in contestants.CONTESTANTS if e.name == "two epochs, then 1 of 3")
    samples = replay.fitting(str(folder), "digits", halved.name, 2)
    assert 3 <= samples < contestants.ENDLESS
    fitted = dataclasses.replace(halved, samples=samples)
    until, known = replay._time(str(folder), "digits", 2), replay._surrogates(str(folder))["digits"]
    ends = [replay.search("digits", known.landscape(s), fitted, s)[0] for s in range(12)]
    assert np.mean(ends) == pytest.approx(until, rel=0.15)


def test_a_bracket_with_more_rungs_has_more_trials(script: Import) -> None:
    contestants = script("contestants")
    (hyperband,) = (e for e in contestants.CONTESTANTS if e.name == "Hyperband")
    _, scheduler = hyperband.open("digits", 0)
    drawn = [scheduler._bracket(7, number) for number in range(600)]
    shares = [drawn.count(bracket) / len(drawn) for bracket in range(3)]
    assert shares == pytest.approx([0.665, 0.245, 0.09], abs=0.05)  # e^2, e and 1
    assert drawn != [scheduler._bracket(8, number) for number in range(600)]


def test_in_turn_a_model_and_the_neighbours_of_the_best_propose(script: Import) -> None:
    contestants, proposers = script("contestants"), script("proposers")
    model, local = (contestants.SamplerConfig(name=name, seed=1) for name in ("joint_tpe", "local"))
    in_turn = proposers.InTurn(model, local)
    ranges = {key: optuna.distributions.FloatDistribution(0, 1) for key in "ab"}
    found = []
    for sampler in (in_turn, *map(proposers.RepeatableSampler, (local, model))):
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for number in range(12):
            params = {"a": number / 12, "b": 0.5}
            told = {1: number / 12}
            study.add_trial(
                optuna.create_trial(
                    params=params,
                    distributions=ranges,
                    value=told[1],
                    intermediate_values=told,
                )
            )
        found.append([study.ask(ranges).params for _ in range(2)])
    both, nearest, modelled = found
    assert both == [modelled[0], nearest[1]]  # the even ones by the model
    assert both not in (nearest, modelled)


def test_a_difference_to_the_default_is_of_the_same_seeds(script: Import) -> None:
    table = script("table")
    luck = np.random.default_rng(0).normal(size=(20, 1))
    made = {("digits", "one"): 0.3 + luck, ("digits", "other"): 0.2 + luck}
    low, high = table.apart(made, ["digits"], "one", "other")
    assert low == pytest.approx(0.1)
    assert high == pytest.approx(0.1)


def test_stock_tells_stopped_trials_as_complete_with_their_last_value(
    folder: Path, script: Import
) -> None:
    curves, contestants = script("curves"), script("contestants")
    known = curves.Surrogate(script("rows").read(folder / "digits.jsonl"))
    (stock,) = (each for each in contestants.CONTESTANTS if each.name == contestants.STOCK)
    ledger, scheduler = stock.open("digits", 1)
    script("replay").simulate(ledger, scheduler, known.landscape(1), 2, until=100.0)
    ended = [each for each in ledger.study.trials if each.intermediate_values]
    assert any(len(each.intermediate_values) < max(LENGTHS) for each in ended)
    assert {each.state.name for each in ended} == {"COMPLETE"}
    for each in ended:
        assert each.value == each.intermediate_values[max(each.intermediate_values)]


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
@pytest.mark.parametrize(("task", "teachers"), [("hymenoptera", 3), ("cifar10_5000", 1)])
def test_a_live_search_tries_a_portfolio_that_was_learned_without_its_images(
    task: str, teachers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    path = importlib.import_module("live").portfolio_without(task, tmp_path / "side")
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


def test_regret_is_the_best_so_far_at_each_time(script: Import) -> None:
    table = script("table")

    class Flat:
        ceiling, nothing = 0.9, 0.1

    steps = [(10.0, 0.5), (60.0, 0.7)]
    found = table.regrets(Flat(), 0.2, steps, until=100.0)
    at = {round(float(time), 2): value for time, value in zip(table.GRID, found, strict=True)}
    assert [at[0.05], at[0.1], at[0.59], at[1.0]] == pytest.approx([4.0, 2.0, 2.0, 1.0])


def test_time_to_stock_is_over_the_time_that_stock_took(script: Import) -> None:
    table = script("table")
    grid = table.GRID
    stock, ours = np.array([1.5 - grid]), np.array([np.where(grid < 0.25, 1.0, 0.4)])
    assert table.time_to(ours, stock) == pytest.approx(0.25)
    assert table.time_to(stock + 1, stock) is None


def test_the_summary_names_the_tasks_where_stock_is_better(script: Import) -> None:
    table, contestants = script("table"), script("contestants")
    chosen = [e for e in contestants.CONTESTANTS if e.default or e.name == contestants.STOCK]
    (ours,) = (each.name for each in chosen if each.default)
    grid, stock = table.GRID, contestants.STOCK
    falling = np.array([1.5 - grid])
    made = {
        ("digits", ours): np.array([np.where(grid < 0.25, 1.0, 0.4)]),
        ("digits", stock): falling,
        ("hymenoptera", ours): falling + 0.1,
        ("hymenoptera", stock): falling,
    }
    line = table.summary(chosen, made, 1)
    assert line["time_to_stock"] == pytest.approx(0.25)  # of the digits alone
    assert line["never_as_good_as_stock"] == line["behind_stock"] == ["hymenoptera"]


@pytest.mark.nightly
def test_the_command_prints_a_table_and_last_a_line_of_json(
    folder: Path, tmp_path: Path, script: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--curves", folder, "--seeds", "2", "--processes", "1", "--only", "random"]
    words += ["stock", "portfolio, then TPE + ASHA", "--figure", tmp_path / "figure.png"]
    script("replay").main([str(word) for word in words])
    out = capsys.readouterr().out
    line = json.loads(out.splitlines()[-1])
    asked = {"regret_over_stock", "regret_over_best_other", "time_to_stock", "seeds"}
    assert asked <= line.keys()
    assert line["seeds"] == 2
    assert line["regret"].keys() >= {"random", "stock OptunaSearch + ASHA"}
    ours, stock = line["regret"][line["ours"]], line["regret"]["stock OptunaSearch + ASHA"]
    assert line["regret_over_stock"] == pytest.approx(ours / stock, rel=0.01)
    assert all(task in out for task in TASKS)
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_configs_are_drawn_as_they_were_recorded_for_each_task(
    script: Import,
) -> None:
    record, rows, curves = script("record"), script("rows"), script("portfolio").CURVES
    configs = {task: record.config_of(task, Path()) for task in ("animals_1200", "vehicles_400")}
    for task, config in configs.items():
        known = {each["number"]: each["params"] for each in rows.read(rows.file_of(curves, task))}
        assert record.proposal(task, max(known), config) == known[max(known)]
    one, other = (record.proposal(task, 0, each) for task, each in configs.items())
    assert one != other


def test_packed_records_are_read_as_the_others(
    folder: Path, tmp_path: Path, script: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    script("pack").pack(folder, tmp_path)
    assert "48 records of commit 0000000" in capsys.readouterr().out
    packed = script("rows").read(script("rows").file_of(tmp_path, "digits"))
    plain = script("rows").read(script("rows").file_of(folder, "digits"))
    assert [each["epochs"] for each in packed] == [each["epochs"] for each in plain]
    assert "total_seconds" not in packed[0]


def test_the_best_configs_are_recorded_again_under_other_seeds(
    folder: Path, script: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = script("record")
    jobs = list(record._again(["digits"], 2, folder))
    assert len(jobs) == 2 * record.BEST
    full = [r for r in script("rows").read(folder / "digits.jsonl") if r["length"] == 6]
    scores = {r["number"]: max(e["val_acc"] for e in r["epochs"]) for r in full}
    assert {number for _, number, _, _ in jobs} == set(
        sorted(scores, key=lambda number: -scores[number])[: record.BEST]
    )
    assert list(record._missing(iter(jobs), folder)) == jobs  # a first run is no second
    monkeypatch.setattr(record, "curve", lambda config, trial: ([{"seed": trial.train.seed}], None))
    seeds = [record._record((job, folder, np.inf))["seed"] for job in jobs[:2]]
    assert len({*seeds, *(r["seed"] for r in full)}) == len(full) + 2


@pytest.mark.slow
def test_the_remaining_time_is_judged_for_each_scheduler(
    folder: Path,
    script: Import,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    remaining = script("remaining")
    monkeypatch.setattr(sys, "argv", ["remaining.py", "--seeds", "1", "--curves", str(folder)])
    remaining.main()
    *_, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    names = {remaining.SCHEDULERS[name]["name"] for name in found}
    assert names == {"fifo", "asha", "halving", "median"}
    assert {len(rows) for rows in found.values()} == {len(remaining.SHARES)}
    errors = {name: max(row["of_whole_median"] for row in rows) for name, rows in found.items()}
    assert errors.pop("fifo") < 0.1  # where nothing is stopped, only the depths to come are unknown
    del errors["median"]  # a guess; see RESULTS.md
    assert max(errors.values()) < 0.4
