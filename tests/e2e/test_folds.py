"""A search whose finalists run on folds, and whose winner is refitted, killed twice."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.commands import DIGITS, SMALL, run_module, running_module
from tests.helpers.doors import invoke
from tests.helpers.processes import assert_gone, kill_family, wait_until
from tests.helpers.searches import FinishedSearch, epochs_in, trials_in

WORDS = (
    "--config",
    str(DIGITS),
    *SMALL,
    *("confirm.top_k=2", "confirm.folds=2", "refit.enabled=auto"),
    # What has learnt nothing knows the images that it was trained on no better than others.
    *("model.weights=bundled", "data.image_size=32", "train.batch_size=32", "optim.lr=3e-3"),
    *("scheduler.name=fifo", "augment.policy=none", "model.unfreeze_depth=1"),
    "space.optim.weight_decay={low: 1e-5, high: 1e-1, log: true}",
    *("--num-samples=2", "--name=first"),
)


@pytest.mark.nightly
def test_folds_and_refit_go_on_after_kills_and_replay(tmp_path: Path) -> None:
    words: tuple[str, ...] = WORDS
    for study, epochs in (("first/confirm", 4), ("first/refit", 1)):
        with running_module("tune.search", *words, cwd=tmp_path) as search:
            wait_until(lambda s=study, e=epochs: epochs_in(tmp_path, s) >= e, by=search)
            assert_gone(kill_family(search.pid))
        words = ("--resume", "first")
    done = run_module("tune.search", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr

    assert "2 folds after epoch" in done.stdout
    assert "the winner trained on all images: refit-000" in done.stdout
    record = FinishedSearch(tmp_path, done.stdout)
    runs = record.runs("confirm")
    folds = Counter(run.data.params["data.fold"] for run in runs)
    assert folds == {f"{number}/2": 2 for number in (1, 2)}
    assert len(trials_in(tmp_path, "first/confirm")) == 4
    (refit,) = record.runs("refit")
    assert {run.info.status for run in (*runs, refit)} <= {"FINISHED", "KILLED"}
    assert refit.info.status == "FINISHED"
    judged = invoke("tune.data", "--search=first", "--json", cwd=tmp_path)
    assert judged.returncode == 0, judged.stderr
    found = json.loads(judged.stdout)
    assert re.match(r"\d+ training and validation images judged by the winner's", found["judged"])
    kept = tmp_path.glob("mlruns/searches/first/confirm-*/validated.npz")
    assert len(list(kept)) == len(runs)
    for run in (next(run for run in runs if run.info.status == "FINISHED"), refit):
        replayed = invoke("tune.debug", "--from-run", run.info.run_id, cwd=tmp_path)
        assert replayed.returncode == 0, replayed.stdout + replayed.stderr
        assert "as recorded" in replayed.stdout
