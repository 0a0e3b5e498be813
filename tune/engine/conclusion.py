"""The end of a search: its winner is tested, compared with the champion and registered, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from trainable.data.datasets import load_dataset
from trainable.metrics import Objective
from trainable.predictions import Predictions
from tune.errors import first_line
from tune.models.candidates import Candidate, Run, finalist_runs, single, soup
from tune.models.promotion import Challenger, settle_champion
from tune.reporting.files import write_report
from tune.reporting.results import SearchResults
from tune.strategy.confirmation import Finalist
from tune.study.folder import SearchFolder
from tune.study.ledger import Ledger
from tune.study.search import Search
from tune.study.trial import TrialState
from tune.tracking import schema
from tune.tracking.record import FAILURES, SearchRecord
from tune.tracking.schema import Tag
from tune.tracking.writer import RecordWriter, UnrecordedError


def conclude(
    search: Search,
    home: SearchFolder,
    finalists: Sequence[Finalist],
    ledgers: tuple[Ledger, Ledger | None],
    writer: RecordWriter,
    *,
    with_soup: bool = True,
) -> SearchResults:
    """Test the winner, have it compared and registered, and close the record.

    Each may have been done before by a process that was killed, and is not done twice.

    Args:
        search: The search.
        home: Its folder.
        finalists: Its best trials, the winner first; none if no trial completed.
        ledgers: The search's, and that of the finalists' confirmation if there was one.
        writer: The writer of its record.
        with_soup: Whether the finalists' soup is made, if the config asks for one.
    """
    dataset = load_dataset(search.config.data)  # which has been loaded before
    results = SearchResults(search.name, ledgers[0], dataset, tuple(finalists))
    try:
        if not finalists:
            writer.finish().close("FAILED")
            return results
        candidates = _candidates(home, finalists, ledgers, with_soup=with_soup)
        tests = {candidate.name: candidate.tuner.evaluate("test") for candidate in candidates}
        chosen = max(candidates, key=lambda candidate: candidate.rank)  # of equals the single one
        results = replace(
            results, dataset=chosen.tuner.dataset, candidate=chosen.name, test=tests[chosen.name]
        )
        record, identity = writer.finish(), _identity(search, finalists[0], chosen)
        _record(record, results, candidates, tests, identity)
        if search.config.registry.register_best:
            challenger = _challenger(results, chosen, tests[chosen.name], identity)
            standing = settle_champion(record.client, search.config, challenger, record.run_id)
            results = replace(results, standing=standing, decision=standing.reason)
        results = replace(results, report=_report(home, results, record))
        record.close("FINISHED")
    except UnrecordedError as error:
        return replace(results, unrecorded=str(error))
    except FAILURES as error:
        reason = first_line(error)
        return replace(results, unrecorded=f"MLflow has not recorded all of the model: {reason}")
    return results


def _candidates(
    home: SearchFolder,
    finalists: Sequence[Finalist],
    ledgers: tuple[Ledger, Ledger | None],
    *,
    with_soup: bool,
) -> list[Candidate]:
    searched, confirmed = ledgers
    winner = finalists[0]
    again = winner.best_run
    if again is None or confirmed is None:
        run = Run(winner.trial, searched)
    else:
        run = Run(again, confirmed)
    found = [single(run, home)]
    if confirmed is not None and searched.config.confirm.soup and with_soup:
        found.append(soup(finalist_runs(finalists, searched, confirmed), home))
    return found


def _record(
    record: SearchRecord,
    results: SearchResults,
    candidates: Sequence[Candidate],
    tests: Mapping[str, Predictions],
    identity: Mapping[str, str],
) -> None:
    """Put the winner and the candidates on the parent run."""
    winner, objective = results.finalists[0], results.objective
    dataset, test = results.dataset, tests[identity[Tag.CANDIDATE]]
    metrics = _scores(winner, objective, test)
    if winner.runs:
        metrics[schema.confirmed(objective)] = winner.mean
        metrics[schema.spread(objective)] = winner.spread
    for candidate in candidates:
        value = objective.metric.of
        metrics[f"{candidate.name}_{objective.name}"] = value(candidate.val)
        metrics[f"{candidate.name}_{objective.on('test')}"] = value(tests[candidate.name])
    best_run = {Tag.BEST_RUN: record.child(winner.trial.number)}
    record.log_summary(metrics, {**identity, **best_run})
    record.log_evaluation(test, dataset.classes, identity, dataset.test_fingerprint())


def _challenger(
    results: SearchResults, chosen: Candidate, test: Predictions, identity: Mapping[str, str]
) -> Challenger:
    winner, objective = results.finalists[0], results.objective
    scores = _scores(winner, objective, test) | {schema.confirmed(objective): winner.mean}
    return Challenger(
        classifier=chosen.tuner.classifier(),
        dataset=results.dataset,
        test=test,
        identity=identity,
        scores={name: str(value) for name, value in scores.items()},
    )


def _scores(winner: Finalist, objective: Objective, test: Predictions) -> dict[str, float]:
    """The values by which a winner is known, on its run as on its version."""
    return {
        schema.best(objective): objective.score(winner.trial.best_epoch.metrics),
        objective.on("test"): objective.metric.of(test),
        schema.TEST_ACC: test.accuracy,
        schema.TEST_LOSS: test.loss,
    }


def _report(home: SearchFolder, results: SearchResults, record: SearchRecord) -> Path:
    """Write the report, and put it on the parent run."""
    files = write_report(results, home.folder)
    record.log_files(files)
    record.log_summary({}, {Tag.DECISION: results.decision})
    return files[0]


def _identity(search: Search, winner: Finalist, chosen: Candidate) -> dict[str, str]:
    """Tags that tell a model from any other of its search.

    With a time budget, the same trial may win twice: cut short, and once it has gone on.
    """
    trial, epochs = winner.trial, search.config.trial(winner.trial.params).train.epochs
    cut = f"epoch {trial.best} of {epochs}" if trial.state is TrialState.PRUNED else "no"
    return {
        Tag.BEST_TRIAL: str(trial.number),
        Tag.CANDIDATE: chosen.name,
        Tag.INGREDIENTS: " ".join(chosen.ingredients),
        **({} if search.config.budget.time is None else {Tag.CUT_SHORT: cut}),
    }
