"""Folds and refits, as the best configs of a task recorded them."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.strategies.conftest import Import

Record = dict[str, object]
NUMBERS, FOLDS, PER_FOLD = 8, 5, 40
TESTED = 400


def epochs(val: float, test: float, seconds: float = 2.0) -> list[dict[str, float]]:
    one = {"val_acc": val, "val_loss": 1.0, "test_acc": test, "seconds": seconds}
    each = {**one, "train_loss": 1.0, "train_acc": 0.9, "prepare_seconds": 0.0}
    return [{**each, "val_acc": 1 / PER_FOLD}, *[each] * 5]  # a share that only so many images have


def again_of(records: list[Record], reached: float = 0.8) -> list[Record]:
    """The first configs under two more seeds, alike in all."""
    full = [r for r in records if r["length"] == 6 and int(str(r["number"])) < NUMBERS]
    return [{**r, "again": time, "epochs": epochs(0.8, reached)} for r in full for time in (1, 2)]


def folded_of(again: list[Record], soup: float = 0.82, refit: float = 0.85) -> list[Record]:
    """The same on five folds, of which the first is the hardest, and refitted."""
    drawn, found = random.Random(0), list[Record]()
    for record in (each for each in again if each["again"] == 1):
        bare = {key: value for key, value in record.items() if key != "again"}
        for fold in range(1, FOLDS + 1):
            right = 20 + 2 * fold + drawn.randint(-2, 2)
            found.append({**bare, "fold": f"{fold}/5", "epochs": epochs(right / PER_FOLD, 0.8)})
        more = {"other_acc": refit, "soup_acc": 0.5}
        found.append({**bare, **more, "fold": "all", "epochs": epochs(1.0, refit, 3.0)})
        mixed = {"best_acc": 0.5, "taken_acc": soup, "mixed": 2, "epochs": []}
        found.append({**bare, **mixed, "fold": "soup"})
    return found


@pytest.fixture(scope="module")
def known(records: list[Record], script: Import) -> object:
    again = again_of(records)
    unknown = {**folded_of(again)[-1], "number": 23, "taken_acc": 0.0}  # not recorded again
    return script("curves").Surrogate([*records, *again], [*folded_of(again), unknown])


def test_what_is_read_of_folds_and_refits(known: object, script: Import) -> None:
    folding, logit = known.folding, script("rows").logit  # type: ignore[attr-defined]
    assert folding.folds == tuple(f"{fold}/5" for fold in range(1, FOLDS + 1))
    assert folding.images == (PER_FOLD,) * FOLDS
    assert folding.gain == pytest.approx(logit(0.85) - logit(0.8))
    assert folding.growth == pytest.approx(1.5)


def test_a_harder_fold_is_so_for_all_and_what_is_left_differs(known: object) -> None:
    landscape = known.landscape(0)  # type: ignore[attr-defined]
    tried = known.params[:20]  # type: ignore[attr-defined]
    scores = np.array(
        [
            [landscape({**each, "data.fold": f"{fold}/5"})[5]["val_acc"] for fold in range(1, 6)]
            for each in tried
        ]
    )
    assert list(scores.mean(0)) == sorted(scores.mean(0))
    right = scores * PER_FOLD
    assert right == pytest.approx(np.round(right))
    expected = np.array([landscape(each)[5]["test_acc"] for each in tried])
    assert np.std(scores.mean(1) - expected) > 0
    # Asked for again, a config has the same luck; and its test images none.
    again = landscape({**tried[0], "data.fold": "1/5"})[5]
    assert (again["val_acc"], again["test_acc"]) == (scores[0, 0], expected[0])


def test_the_test_images_have_their_part_in_how_far_folds_are_apart(script: Import) -> None:
    apart = np.random.default_rng(0).normal(size=(400, 1)) + np.zeros((400, 5))
    found = script("folding")._validations(apart, 0.25)
    assert found.std() == pytest.approx(apart.std() / 2, rel=0.02)
    within = np.random.default_rng(1).normal(size=(400, 5))
    within -= within.mean(1, keepdims=True)
    assert script("folding")._validations(within, 0.25).std() == pytest.approx(1, rel=0.15)


def test_a_refit_takes_longer_and_is_worth_what_it_was(known: object, script: Import) -> None:
    landscape, params = known.landscape(0), known.params[0]  # type: ignore[attr-defined]
    rows = script("rows")
    trial, refit = landscape(params), landscape({**params, "data.fold": "all"})
    gained = rows.logit(refit[5]["test_acc"]) - rows.logit(trial[5]["test_acc"])
    assert gained == pytest.approx(rows.logit(0.85) - rows.logit(0.8))
    assert refit[5]["epoch_seconds"] == pytest.approx(1.5 * trial[5]["epoch_seconds"])


def test_folds_share_their_views_with_each_other_and_the_refit(known: object) -> None:
    landscape = known.landscape(1)  # type: ignore[attr-defined]
    params = {**known.params[0], "augment.policy": "none"}  # type: ignore[attr-defined]
    usual, *folds = (
        landscape(each)[0]["epoch_seconds"]
        for each in (params, *({**params, "data.fold": f"{fold}/5"} for fold in (1, 2)))
    )
    assert folds[0] > usual > folds[1]  # of more images; then found


@pytest.mark.parametrize("folds", [5, 0])
@pytest.mark.parametrize("last", ["single", "soup", "refit"])
def test_a_search_ends_as_it_is_asked_to(
    folds: int, last: str, known: object, script: Import
) -> None:
    confirming, contestants = script("confirming"), script("contestants")
    (ours,) = (e for e in contestants.CONTESTANTS if e.name == "portfolio, then TPE + ASHA")
    landscape = known.landscape(3)  # type: ignore[attr-defined]
    ledger, scheduler = ours.open("digits", 3)
    script("replay").simulate(ledger, scheduler, landscape, 2, until=150)
    finish = confirming.Finish(2, folds, soup=last == "soup", refit=last == "refit").on(landscape)
    assert finish.soup is (last == "soup" and not folds)  # there is none of runs on folds
    found = confirming.finished(ledger, finish, landscape, 2)
    chosen = confirming.finalists(ledger.trials.values(), 2)
    varied = (
        [("data.fold", f"{fold}/5") for fold in range(1, 6)]
        if folds
        else [("train.seed", seed) for seed in (1, 2)]
    )
    means = [
        np.mean(
            [landscape({**t.params, key: value})[t.best - 1]["val_acc"] for key, value in varied]
        )
        for t in chosen
    ]
    winner = chosen[int(np.argmax(means))]
    single = landscape(winner.params)[winner.best - 1]["test_acc"]
    assert found.test == pytest.approx(
        {
            "single": single,
            "soup": single,
            "refit": landscape({**winner.params, "data.fold": "all"})[5]["test_acc"],
        }[last]
    )
    without = confirming.finished(ledger, confirming.Finish(2, folds), landscape, 2)
    assert (found.seconds > without.seconds) is (finish.soup or finish.refit)


def test_where_nothing_was_recorded_of_folds_a_search_ends_with_other_seeds(
    records: list[Record], known: object, script: Import
) -> None:
    finish = script("confirming").Finish
    asked = finish(2, folds=5, refit=True)
    bare = script("curves").Surrogate(records).landscape(0)
    assert asked.on(bare) == finish(2)
    assert asked.on(known.landscape(0)) == asked  # type: ignore[attr-defined]
    again = again_of(records)
    refits = [each for each in folded_of(again) if each["fold"] in ("all", "soup")]
    many = script("curves").Surrogate([*records, *again], refits).landscape(0)
    assert asked.on(many) == finish(2, refit=True)
    assert finish(2, folds=5, soup=True).on(many) == finish(2, soup=True)
    shipped = script("contestants").SHIPPED
    assert shipped.on(known.landscape(0)) == finish(2, refit=True)  # type: ignore[attr-defined]
    assert shipped.on(many) == finish(2, soup=True)
    assert not finish()


def test_what_ends_are_worth_is_printed(
    records: list[Record],
    tmp_path: Path,
    script: Import,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    again = again_of(records)
    (tmp_path / "folds").mkdir()
    for path, lines in (("", [*records, *again]), ("folds", folded_of(again))):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / path / "digits.jsonl").write_text(text)
    monkeypatch.setattr(sys, "argv", ["ends.py", "--curves", str(tmp_path)])
    script("ends").main()
    printed = capsys.readouterr().out.splitlines()
    _, _, refit, _, _, averaged, _, _, taken, _, _ = printed[1].split()
    assert (refit, averaged, taken) == ("+5.00", "-30.00", "+2.00")
    assert printed[2].startswith("refit          +5.00 points on average")
    assert printed[-1].startswith("digits")
