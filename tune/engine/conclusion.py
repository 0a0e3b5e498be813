"""The end of a search: its winner is tested, compared with the champion and registered, once."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from trainable.data.datasets import load_dataset
from trainable.files.places import Place
from trainable.inference.classifier import Classifier
from tune.engine.ending import hold_contest
from tune.engine.known_by import identity_of, scores_of, trust_of
from tune.engine.resources import TrialResources
from tune.models.contest import contest_of
from tune.models.held_out import held_out
from tune.models.promotion import settle_champion
from tune.models.registration import Challenger, add_file
from tune.models.winner import Fault, Tested, fault_of
from tune.reporting.files import write_report
from tune.reporting.notes import note
from tune.reporting.results import Model, SearchResults
from tune.strategy.choice import Choice
from tune.strategy.confirmation import Finalist
from tune.strategy.refit import refit_score
from tune.study.folder import SearchFolder
from tune.study.ledger import Ledgers
from tune.study.search import Search
from tune.tracking import schema
from tune.tracking.notes import Links
from tune.tracking.record import SearchRecord
from tune.tracking.schema import Artifact, Tag
from tune.tracking.writer import RecordWriter, UnrecordedError

_SCRATCH: Final = "scratch"
"""The folder, in the search's, of all temporary files: what a kill leaves is cleared later."""
_ERRORS: Final = "error.txt"


@dataclass
class _Problems:
    """What failed after the last trial. Whatever it is, the rest is done, and a resume does it."""

    home: SearchFolder
    found: list[str] = field(default_factory=list)

    @contextmanager
    def noted(self, what: str) -> Iterator[None]:
        """Note an error instead of raising it."""
        try:
            yield
        except UnrecordedError as error:
            self.found.append(str(error))
        except Exception as error:  # noqa: BLE001 - of plugins, figures, files: none may end it
            self.add(fault_of(what, error))

    def add(self, fault: Fault) -> None:
        """Note what has failed, with its traceback in a file."""
        told = f"{fault.what} failed: {fault.reason}"
        if fault.trace is not None:
            Place(self.home.folder).write(_ERRORS, fault.trace.encode())
            told = f"{told} ({self.home.folder / _ERRORS})"
        self.found.append(told)

    @property
    def told(self) -> str | None:
        """All of them in one line, if there are any."""
        return "; ".join(self.found) or None


def conclude(
    search: Search,
    home: SearchFolder,
    finalists: Sequence[Finalist],
    ledgers: Ledgers,
    writer: RecordWriter,
    *,
    with_soup: bool = True,
    resources: TrialResources | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> SearchResults:
    """Test the winner, have it compared and registered, and close the record.

    Each may have been done before by a process that was killed, and is not done twice.

    Args:
        search: The search.
        home: Its folder.
        finalists: Its best trials, the winner first; none if no trial completed.
        ledgers: All its trials.
        writer: The writer of its record.
        with_soup: Whether the finalists' soup is made, if the config asks for one.
        resources: What a trial gets: where this is one machine of several, the winner is chosen and
            tested where a trial would run.
        say: Says that a node for that is waited for.

    Raises:
        Halt: There is none any more, or another process may run the search.
    """
    dataset = load_dataset(
        search.config.data, search.config.cache.of_images
    )  # which has been loaded before
    choice = Choice.of(search)
    results = SearchResults(search.name, ledgers.searched, dataset, tuple(finalists), choice=choice)
    problems, classifier, record = _Problems(home), None, None
    (home.folder / _ERRORS).unlink(missing_ok=True)  # of an attempt before this one
    with _scratch(home):
        if finalists:
            with problems.noted("testing the best checkpoint"):
                # A soup may have the network of any finalist: of none that costs more.
                cheap = choice.as_cheap(finalists)
                fingerprint = search.data_fingerprint
                contest = contest_of(home.trials, cheap, ledgers, fingerprint, with_soup=with_soup)
                # Without a storage this machine alone has the checkpoints.
                where = None if home.shared is None else resources
                tested = hold_contest(contest, where, say)
                classifier = tested.classifier
                for fault in tested.faults:
                    problems.add(fault)
                results = _with_test(search, results, tested)
        with problems.noted("recording the search"):
            record = writer.finish()
        if record is not None and classifier is not None and results.model is not None:
            ledgers.searched.await_turn()  # two versions could not be made one again
            with problems.noted("registering the model"):
                results = _register(search, results, classifier, record)
        if finalists:
            with problems.noted("the report"):
                whole = load_dataset(search.config.data.unfolded, search.config.cache.of_images)
                judged = held_out(finalists[0], ledgers, home, whole, results.test)
                results = replace(results, judged=judged)
                files = write_report(results, home.folder)
                results = replace(results, report=files[0])
                _publish(results, files, home, record)
        if record is not None:
            with problems.noted("describing the search"):
                _describe(results, record)
            with problems.noted("closing the record"):
                _close(results, record, problems)
    return replace(results, unfinished=problems.told)


def _with_test(search: Search, results: SearchResults, tested: Tested) -> SearchResults:
    """The results with the model that was chosen and tested."""
    return replace(
        results,
        model=_model(search, tested, results.finalists[0]),
        test=tested.test,
        remark=tested.remark,
        calibration=tested.calibration,
        latency=tested.latency,
    )


def _publish(
    results: SearchResults, files: Sequence[Path], home: SearchFolder, record: SearchRecord | None
) -> None:
    """Put the report's files where other machines, and whoever reads the record, find them."""
    if home.shared is not None:
        home.shared.publish(files)
    if record is not None:
        record.log_files(files)
        _add_card(results, files, record)


def _model(search: Search, tested: Tested, winner: Finalist) -> Model:
    """What is registered. Of a refit, the score is that of the winner's runs that were judged."""
    is_refit = tested.name == "refit"
    score = refit_score(search.config, winner) if is_refit else tested.score
    return Model(tested.ingredients, tested.epoch, score)


def _register(
    search: Search, results: SearchResults, classifier: Classifier, record: SearchRecord
) -> SearchResults:
    """Record the winner, and have it compared with the champion and registered."""
    assert results.model is not None
    assert results.test is not None
    winner, model = results.finalists[0], results.model
    identity = identity_of(search, winner, model)
    scores = scores_of(results, model, results.test) | trust_of(results, results.test)
    runs = {Tag.BEST_RUN: " ".join(map(record.child, model.runs))}
    if winner.runs:
        runs[Tag.CONFIRMED_OVER] = winner.over
    own = {}
    if model.score is not None:
        own[schema.candidate_score(model.candidate, results.objective)] = model.score
    if results.latency is not None:
        own[schema.LATENCY] = results.latency
    record.log_summary({**scores, **own}, {**identity, **runs})
    dataset = results.dataset
    record.log_evaluation(results.test, dataset.classes, identity, dataset.test_fingerprint())
    if not search.config.registry.register_best:
        return results
    challenger = Challenger(
        classifier=classifier,
        dataset=dataset,
        test=results.test,
        identity=identity,
        scores={
            **runs,
            Tag.TEST_COUNT: str(len(results.test.labels)),
            **{name: str(value) for name, value in scores.items()},
        },
    )
    standing = settle_champion(record.client, search.config, challenger, record.run_id)
    record.log_summary({}, {Tag.DECISION: standing.reason, Tag.VERSION: standing.version})
    return replace(results, standing=standing, decision=standing.reason)


def _add_card(results: SearchResults, files: Sequence[Path], record: SearchRecord) -> None:
    """Put the model's card among the files of its version."""
    cards = [path for path in files if path.name == Artifact.CARD]
    if cards and results.version is not None:
        add_file(record.client, results.config.model_name, results.version, cards[0])


def _describe(results: SearchResults, record: SearchRecord) -> None:
    """Say on the run and on the version what they are."""
    runs = () if results.model is None else results.model.runs
    links = Links(record.experiment_id, record.run_id, {name: record.child(name) for name in runs})
    text = note(results, links)
    record.note(text)
    if results.standing is not None:
        record.note_version(results.config.model_name, results.standing.version, text)


def _close(results: SearchResults, record: SearchRecord, problems: _Problems) -> None:
    """Close the record: as finished only once all is written, alias and decision included."""
    if problems.told is not None:
        record.log_summary({}, {Tag.ERROR: problems.told})
        record.close("FAILED")
        return
    record.clear(Tag.ERROR)
    record.close("FINISHED" if results.finalists else "FAILED")


@contextmanager
def _scratch(home: SearchFolder) -> Iterator[None]:
    """Have all temporary files made in the search's folder, and none left there."""
    folder, before = home.folder / _SCRATCH, tempfile.tempdir
    shutil.rmtree(folder, ignore_errors=True)  # what a kill has left
    folder.mkdir(parents=True)
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)
