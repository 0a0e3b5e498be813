"""The end of a search: its winner is tested, compared with the champion and registered, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trainable.data.datasets import load_dataset
from trainable.metrics import Objective
from trainable.predictions import Predictions
from tune.errors import first_line
from tune.models.candidates import Candidate, Run, finalist_runs, single, soup
from tune.models.promotion import Challenger, settle_champion
from tune.reporting.publishing import write_report
from tune.reporting.results import SearchResults
from tune.strategy.confirmation import Finalist
from tune.study.folder import SearchHome
from tune.study.ledger import Ledger
from tune.study.search import Search
from tune.tracking import schema
from tune.tracking.record import FAILURES, SearchRecord
from tune.tracking.schema import Tag
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
        objective = Objective.named(search.config.objective.metric)
        _record(record, objective, finalists[0], candidates, tests, chosen)
        if search.config.registry.register_best:
            challenger = _challenger(objective, chosen, tests[chosen.name], finalists[0])
            standing = settle_champion(record.client, search.config, challenger, record.run_id)
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
    objective: Objective,
    winner: Finalist,
    candidates: Sequence[Candidate],
    tests: dict[str, Predictions],
    chosen: Candidate,
) -> None:
    """Put what was found on the parent run."""
    test, of = tests[chosen.name], objective.metric.of
    metrics: dict[str, float] = {
        schema.best(objective): objective.score(winner.trial.best_epoch.metrics),
        objective.on("test"): of(test),
        schema.TEST_ACC: test.accuracy,
        schema.TEST_LOSS: test.loss,
    }
    if winner.runs:
        metrics[schema.confirmed(objective)] = winner.mean
        metrics[schema.spread(objective)] = winner.spread
    for candidate in candidates:
        metrics[f"{candidate.name}_{objective.name}"] = of(candidate.val)
        metrics[f"{candidate.name}_{objective.on('test')}"] = of(tests[candidate.name])
    identity, dataset = _identity(winner, chosen), chosen.tuner.dataset
    best_run = {Tag.BEST_RUN: record.child(winner.trial.number)}
    record.log_summary(metrics, identity | best_run)
    record.log_evaluation(test, dataset.classes, identity, dataset.test_fingerprint())


def _report(home: SearchHome, results: SearchResults, record: SearchRecord) -> Path:
    """Write the report, and put it on the parent run."""
    files = write_report(results, home.folder)
    record.log_files(files)
    record.log_summary({}, {Tag.DECISION: results.decision})
    return files[0]


def _challenger(
    objective: Objective, chosen: Candidate, test: Predictions, winner: Finalist
) -> Challenger:
    return Challenger(
        classifier=chosen.tuner.classifier(),
        dataset=chosen.tuner.dataset,
        test=test,
        identity=_identity(winner, chosen),
        scores={
            schema.best(objective): str(objective.score(winner.trial.best_epoch.metrics)),
            schema.confirmed(objective): str(winner.mean),
            objective.on("test"): str(objective.metric.of(test)),
            schema.TEST_ACC: str(test.accuracy),
            schema.TEST_LOSS: str(test.loss),
        },
    )


def _identity(winner: Finalist, chosen: Candidate) -> dict[str, str]:
    """Tags that tell a model from any other of its search."""
    return {
        Tag.BEST_TRIAL: str(winner.trial.number),
        Tag.CANDIDATE: chosen.name,
        Tag.INGREDIENTS: " ".join(chosen.ingredients),
    }
