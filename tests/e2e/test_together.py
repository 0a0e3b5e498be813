"""Four searches at once on one cluster, with one record and one registered model."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

from tests.helpers.cluster import Cluster, own_cluster
from tests.helpers.commands import DIGITS, SMALL
from trainable.files.remote import place_at
from tune.models.promotion import FIRST

pytestmark = [pytest.mark.cluster, pytest.mark.nightly, pytest.mark.timeout(900)]

NAMES = ("north", "east", "south", "west")
TRIALS, MODEL = 3, "resnet18-digits"


def test_searches_at_once_all_end_and_the_alias_is_what_the_gate_says(tmp_path: Path) -> None:
    with own_cluster(tmp_path) as cluster:
        head = cluster.head(cpus=0)
        cluster.worker(head)
        cluster.worker(head)
        with ExitStack() as stack:
            drivers = [stack.enter_context(head.running(*_search(cluster, n))) for n in range(4)]
            for driver in drivers:
                output, errors = driver.communicate(timeout=600)
                assert driver.returncode == 0, output + errors
        for name in NAMES:
            assert cluster.states(name) == {TrialState.COMPLETE: TRIALS}
            assert place_at(f"{cluster.storage}/searches/{name}").exists("report.html")
        _check_record(MlflowClient(cluster.record.uri))


def _search(cluster: Cluster, number: int) -> tuple[str, ...]:
    """A search of its own name and seed."""
    return cluster.driver(
        *(sys.executable, "-m", "tune.search", "--config", str(DIGITS), "--address=auto"),
        *(f"--name={NAMES[number]}", f"--num-samples={TRIALS}", *SMALL),
        *("model.weights=bundled", "scheduler.name=fifo", f"sampler.seed={number}"),
        *("strategy.transfer=false", f"train.seed={number}"),
    )


def _check_record(client: MlflowClient) -> None:
    """Check each run, and that each version was compared with the champion of then."""
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=100)
    assert Counter(run.data.tags["tune.kind"] for run in runs) == {
        "search": len(NAMES),
        "trial": len(NAMES) * TRIALS,
    }
    assert {run.info.status for run in runs} == {"FINISHED"}
    versions = sorted(
        client.search_model_versions(f"name = '{MODEL}'"), key=lambda each: int(each.version)
    )
    assert [int(each.version) for each in versions] == [1, 2, 3, 4]
    assert len({each.run_id for each in versions}) == len(NAMES)
    champion = None
    for version in versions:
        decision, promoted = version.tags["tune.decision"], version.tags["tune.promoted"]
        assert (decision == FIRST) == (champion is None)
        if promoted == "yes":
            assert version.tags.get("tune.previous_champion") == champion
            assert champion is None or f"the champion (version {champion})" in decision
            champion = version.version
        else:
            assert (promoted, decision.partition(" (")[0]) == ("no", "not promoted")
    assert client.get_model_version_by_alias(MODEL, "champion").version == champion
