"""The end of a search: its winner is tested, compared with the champion and registered, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from trainable.data.datasets import load_dataset
from trainable.predictions import Predictions
from tune.errors import first_line
from tune.models.candidates import Candidate, Run, finalist_runs, single, soup
from tune.models.promotion import Challenger, settle_champion
from tune.reporting.publishing import PREDICTIONS, write_report
from tune.reporting.results import SearchResults
from tune.strategy.confirmation import Finalist
from tune.study.folder import Search, SearchHome
from tune.study.ledger import Ledger
from tune.tracking.record import FAILURES, SearchRecord
from tune.tracking.writer import RecordWriter, UnrecordedError


def conclude(
    search: Search,
    home: SearchHome,
    finalists: Sequence[Finalist],
    ledgers: tuple[Ledger, Ledger | None],
    writer: RecordWriter,
) -> SearchResults:
    """Test the winner, have it compared and registered, and close the record.

    Each may have been done before by a process that was killed, and is not done twice.

    Args:
        search: The search.
        home: Its folder.
        finalists: Its best trials, the winner first; none if no trial completed.
        ledgers: Of the search, and of the finalists' confirmation if there was one.
        writer: Of its record.
    """
    dataset = load_dataset(search.config.data)  # which has been loaded before
    results = SearchResults(search.name, ledgers[0], dataset, tuple(finalists))
    try:
        if not finalists:
            writer.finish().close("FAILED")
            return results
        candidates = _candidates(search, home, finalists, ledgers)
        tests = {candidate.name: candidate.tuner.evaluate("test") for candidate in candidates}
        chosen = max(candidates, key=lambda candidate: candidate.rank)  # of equals the single one
        results = replace(
            results,
            dataset=chosen.tuner.dataset,
            candidate=chosen.name,
            test=tests[chosen.name],
        )
        record = writer.finish()
        _record(record, finalists[0], candidates, tests, chosen)
        if search.config.registry.register_best:
            challenger = _challenger(chosen, tests[chosen.name], finalists[0])
            standing = settle_champion(search.config, challenger, record.run_id)
            results = replace(results, standing=standing, decision=standing.reason)
        results = replace(results, report=_report(home, results, record))
        record.close("FINISHED")
    except UnrecordedError as error:
        return replace(results, unrecorded=str(error))
    except FAILURES as error:
        reason = first_line(error)
        return replace(results, unrecorded=f"MLflow was not told all of the model: {reason}")
    return results


def _candidates(
    search: Search,
    home: SearchHome,
    finalists: Sequence[Finalist],
    ledgers: tuple[Ledger, Ledger | None],
) -> list[Candidate]:
    searched, confirmed = ledgers
    winner = finalists[0]
    again = winner.best_run
    if again is None or confirmed is None:
        run = Run(winner.trial, searched)
    else:
        run = Run(again, confirmed)
    found = [single(run, home)]
    if confirmed is not None and search.config.confirm.soup:
        found.append(soup(finalist_runs(finalists, searched, confirmed), home))
    return found


def _record(
    record: SearchRecord,
    winner: Finalist,
    candidates: Sequence[Candidate],
    tests: dict[str, Predictions],
    chosen: Candidate,
) -> None:
    """Put what was found on the parent run."""
    test = tests[chosen.name]
    metrics: dict[str, float] = {
        "best_val_acc": winner.trial.best_epoch.metrics["val_acc"],
        "test_acc": test.accuracy,
        "test_loss": test.loss,
    }
    if winner.runs:
        metrics |= {"confirmed_val_acc": winner.mean, "confirmed_val_acc_spread": winner.spread}
    for candidate in candidates:
        metrics[f"{candidate.name}_val_acc"] = candidate.val.accuracy
        metrics[f"{candidate.name}_test_acc"] = tests[candidate.name].accuracy
    best_run = {"tune.best_run": record.child(winner.trial.number)}
    record.log_summary(metrics, _identity(winner, chosen) | best_run)
    dataset = chosen.tuner.dataset
    summary = {
        **test.summary(dataset.classes),
        "identity": _identity(winner, chosen),
        "fingerprint": dataset.test_fingerprint(),
        "right": "".join("01"[answer] for answer in test.right.astype(int)),
    }
    record.client.log_dict(record.run_id, summary, "test.json")


def _report(home: SearchHome, results: SearchResults, record: SearchRecord) -> Path:
    """Write the report, and put it on the parent run."""
    files = write_report(results, home.folder)
    with TemporaryDirectory() as folder:
        predictions = Path(folder) / PREDICTIONS
        assert results.test is not None
        results.test.save(predictions)
        for file in (predictions, *files):
            record.client.log_artifact(record.run_id, str(file))
    record.log_summary({}, {"tune.decision": results.decision})
    return files[0]


def _challenger(chosen: Candidate, test: Predictions, winner: Finalist) -> Challenger:
    dataset = chosen.tuner.dataset
    return Challenger(
        classifier=chosen.tuner.classifier(),
        dataset=dataset,
        right=test.right,
        identity=_identity(winner, chosen),
        scores={
            "best_val_acc": str(winner.trial.best_epoch.metrics["val_acc"]),
            "confirmed_val_acc": str(winner.mean),
            "test_acc": str(test.accuracy),
            "test_loss": str(test.loss),
        },
    )


def _identity(winner: Finalist, chosen: Candidate) -> dict[str, str]:
    """Tags that tell a model from any other of its search."""
    return {
        "tune.best_trial": str(winner.trial.number),
        "tune.candidate": chosen.name,
        "tune.ingredients": " ".join(chosen.ingredients),
    }
