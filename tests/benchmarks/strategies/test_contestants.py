"""The strategies that are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import pytest
import yaml

from tests.benchmarks.strategies.conftest import Import
from tests.helpers.commands import REPOSITORY
from tests.helpers.recorded import LENGTHS


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
    model = contestants.SamplerConfig(name="joint_tpe", seed=1)
    near = proposers.Perturbed(1)
    in_turn = proposers.InTurn(model, near)
    ranges = {key: optuna.distributions.FloatDistribution(0, 1) for key in "ab"}
    found = []
    for sampler in (in_turn, near, proposers.RepeatableSampler(model)):
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


def test_a_bad_prior_is_given_up(script: Import) -> None:
    proposers = script("proposers")
    ranges = {key: optuna.distributions.FloatDistribution(0, 1) for key in "ab"}
    sampler = proposers.PriorBand(1, {"a": 0.1, "b": 0.1})
    study = optuna.create_study(direction="maximize", sampler=sampler)
    trusts = []
    for good in (0.1, 0.9):
        for number in range(12):
            told = {1: good - abs(number / 100)}
            params = {"a": good, "b": good - number / 100 + 0.05}
            study.add_trial(
                optuna.create_trial(
                    params=params, distributions=ranges, value=told[1], intermediate_values=told
                )
            )
        trusts.append(sampler._trust(study, proposers.best(study)))
    assert trusts[0] == pytest.approx(0.5, abs=0.1)  # the prior and the incumbent are alike
    assert trusts[1] < 0.01
    proposed = [study.ask(ranges).params["a"] for _ in range(200)]
    assert np.mean([value == 0.9 for value in proposed]) == pytest.approx(1 / 4, abs=0.08)
