"""What searches on recorded curves come to."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.strategies.conftest import TASKS, Import


def test_finalists_run_again_within_the_time_and_the_best_mean_wins(
    folder: Path, script: Import
) -> None:
    replay, contestants = script("replay"), script("contestants")
    known = script("curves").Surrogate(script("rows").read(folder / "digits.jsonl"))
    (ours,) = (e for e in contestants.CONTESTANTS if e.name == "portfolio, TPE + ASHA, as shipped")
    landscape, until = known.landscape(2), 200.0
    end, steps = replay.search("digits", landscape, ours, 2, replay.Terms(share=0.4), until)
    (at, test), (before, _) = steps[-1], steps[-2]
    assert before < at == end <= until
    ledger, scheduler = ours.open("digits", 2)
    last = replay.simulate(ledger, scheduler, landscape, 2, until=0.8 * until)
    finish = script("confirming").Finish(2)
    found = script("confirming").finished(ledger, finish, landscape, 2)
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
    (ours,) = (e for e in contestants.CONTESTANTS if e.name == "portfolio, TPE + ASHA, as shipped")
    (without,) = (e for e in contestants.CONTESTANTS if e.name == "portfolio, then TPE + ASHA")
    landscape, until = known.landscape(2), 200.0
    asked, took = list[float](), [70.0, 60.0]
    real = replay.simulate

    def spy(*words: object, until: float, **given: object) -> float:
        asked.append(until)
        return float(real(*words, until=until, **given))

    def finished(*_: object) -> object:
        return script("confirming").Finished(took[len(asked) - 1], 0.5)

    monkeypatch.setattr(replay, "simulate", spy)
    monkeypatch.setattr(replay, "finished", finished)
    end, steps = replay.search("digits", landscape, ours, 2, until=until)
    assert asked == pytest.approx([160, 200 - 1.1 * 70])
    assert steps[-1] == (end, 0.5)
    assert end <= until
    took[:] = [90.0, 50.0, 40.0]  # more than a search holds back, and less under one seed each
    asked.clear()
    end, steps = replay.search("digits", landscape, ours, 2, until=until)
    assert asked == pytest.approx([160, 180, 200 - 1.1 * 50])
    assert steps[-1] == (end, 0.5)
    took[:] = [90.0, 90.0]
    asked.clear()
    assert replay.search("digits", landscape, ours, 2, until=until) == replay.search(
        "digits", landscape, without, 2, until=until
    )
    nothing = ours.open("digits", 3)[0]
    assert script("confirming").finished(nothing, ours.finish, landscape, 2) is None


def test_an_oracle_chooses_the_best_that_was_found(folder: Path, script: Import) -> None:
    replay, contestants = script("replay"), script("contestants")
    known = script("curves").Surrogate(script("rows").read(folder / "digits.jsonl"))
    (oracle,) = (e for e in contestants.CONTESTANTS if e.name == "stock, oracle")
    (stock,) = (e for e in contestants.CONTESTANTS if e.name == contestants.STOCK)
    known.noise.added[:] *= 10  # luck alone decides
    lasts = []
    for seed in range(8):
        landscape = known.landscape(seed)
        found = [
            replay.search("digits", landscape, each, seed, until=100.0) for each in (oracle, stock)
        ]
        assert found[0][0] == found[1][0]  # the same search
        tests = [test for _, test in found[0][1]]
        assert tests == sorted(tests)
        lasts.append((tests[-1], found[1][1][-1][1]))
    assert all(best >= chosen for best, chosen in lasts)
    assert any(best > chosen for best, chosen in lasts)


def test_what_begins_all_trials_at_once_has_as_many_as_fit(folder: Path, script: Import) -> None:
    replay, contestants = script("replay"), script("contestants")
    replay._quietly()
    (halved,) = (e for e in contestants.CONTESTANTS if e.name == "two epochs, then 1 of 3")
    samples = replay.fitting(str(folder), "digits", halved.name, replay.USUAL)
    assert 3 <= samples < contestants.ENDLESS
    fitted = dataclasses.replace(halved, samples=samples)
    until = replay._time(str(folder), "digits", replay.USUAL)
    known = replay._surrogates(str(folder))["digits"]
    ends = [replay.search("digits", known.landscape(s), fitted, s)[0] for s in range(12)]
    assert np.mean(ends) == pytest.approx(until, rel=0.15)


def test_a_difference_to_the_default_is_of_the_same_seeds(script: Import) -> None:
    table = script("table")
    luck = np.random.default_rng(0).normal(size=(20, 1))
    made = {("digits", "one"): 0.3 + luck, ("digits", "other"): 0.2 + luck}
    low, high = table.apart(made, ["digits"], "one", "other")
    assert low == pytest.approx(0.1)
    assert high == pytest.approx(0.1)


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
    words += ["stock", "portfolio, TPE + ASHA, as shipped", "--figure", tmp_path / "figure.png"]
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
