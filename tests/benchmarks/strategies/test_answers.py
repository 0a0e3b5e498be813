"""What a trial of any config would have reported, and when."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.strategies.conftest import Import
from tests.helpers.recorded import LENGTHS, TEST, VALIDATION, write_records


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


def test_noise_is_of_validation_and_no_test_image_is_lucky(
    records: list[dict[str, object]], script: Import
) -> None:
    full = [r for r in records if r["length"] == max(LENGTHS) and r["number"] < 6]  # type: ignore[operator]
    again = [
        {
            **r,
            "again": time,
            "epochs": [
                {k: v * (0.8 + time / 10) if k != "val_loss" else v + time for k, v in e.items()}
                for e in r["epochs"]  # type: ignore[attr-defined]
            ],
        }
        for r in full
        for time in (1, 2)
    ]
    known = script("curves").Surrogate([*records, *again])
    landscape, params = known.landscape(0), known.params[0]
    runs = [landscape({**params, "train.seed": seed})[5] for seed in range(20)]
    assert len({run["val_loss"] for run in runs}) > 1
    assert len({run["val_acc"] for run in runs}) > 1
    assert len({run["test_acc"] for run in runs}) == 1


def test_luck_is_as_many_images_however_many_are_right(
    records: list[dict[str, object]], script: Import
) -> None:
    known, rows = script("curves").Surrogate(records), script("rows")
    column = rows.columns_of(6, "val_acc")[-1]

    def points(share: float) -> float:
        """The standard deviation of an accuracy, over what is expected, as a share of chance's."""
        expected = np.full(known.noise.added.shape[1], rows.logit(share))
        drawn = [
            known.noise.draw(expected, np.random.default_rng(seed))[column] for seed in range(300)
        ]
        return float(np.std(drawn) * np.sqrt(share * (1 - share)))

    assert points(0.97) == pytest.approx(points(0.6), rel=0.6)
    assert points(0.03) == pytest.approx(points(0.6), rel=0.6)


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
