"""A report's files: written at the end of a search, or made again from its record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainable.data.datasets import load_dataset
from trainable.files.places import Place
from trainable.judging.predictions import Predictions
from tune.base.errors import ConfigError
from tune.models.held_out import held_out
from tune.reporting.card import has_card, model_card
from tune.reporting.page import page
from tune.reporting.png import write_pictures
from tune.reporting.results import Model, SearchResults
from tune.reporting.soundness import write_data_page
from tune.soundness.labels import Judged
from tune.strategy.choice import Choice
from tune.strategy.confirmation import Finalist, read_confirmation
from tune.strategy.portfolio import read_search
from tune.strategy.refit import read_refit
from tune.study.folder import SearchFolder
from tune.study.ledger import Ledgers
from tune.study.search import Search, run_name
from tune.tracking.evaluation import read_outcome
from tune.tracking.schema import Artifact
from tune.tracking.tags import SearchTags


def write_report(results: SearchResults, folder: Path) -> list[Path]:
    """Write the page, the model's card and the pictures; returns their files, the page first.

    Beside them is the page about the images, which is written when a search starts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place, path = Place(folder), folder / Artifact.REPORT
    place.write(path.name, page(results).encode())
    write_data_page(folder, results.config.data, results.dataset)
    return [path, *_write_card(results, folder), *write_pictures(results, folder)]


def _write_card(results: SearchResults, folder: Path) -> list[Path]:
    """Write the card of the registered model, if there is one."""
    if not has_card(results):
        return []
    Place(folder).write(Artifact.CARD, model_card(results).encode())
    return [folder / Artifact.CARD]


def read_results(search: Search, *, judge_again: bool = False) -> SearchResults:
    """The results of a search so far, from its study and its record.

    Args:
        search: The search.
        judge_again: Whether runs whose answers to images that they were not trained on are not
            recorded are restored, or trained again, to give them.

    Raises:
        ConfigError: Its study or its data is not available, these are other images by now, or no
            epoch of it has been reported.
    """
    config = search.config
    ledger = read_search(search)
    if not any(log.epochs for log in ledger.trials.values()):
        raise ConfigError(f"search {search.name}: there is nothing to show before the first epoch")
    timed = config.budget.time is not None
    choice = Choice.of(search)
    chosen = choice.finalists(ledger.trials.values(), max(1, config.confirm.top_k), timed=timed)
    try:
        dataset = load_dataset(config.data, config.cache.of_images)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if dataset.fingerprint != search.data_fingerprint:
        raise ConfigError(
            f"search {search.name}: its images have changed since it was started, and what its "
            "models said of them cannot be told of others: put them back as they were"
        )
    confirmed = read_confirmation(search, chosen)
    test, tags = read_outcome(search)
    order = choice.ranked(chosen, confirmed.trials.values() if confirmed else ())
    refitted = read_refit(search, order[0]) if order else None
    ledgers = Ledgers(ledger, confirmed, refitted)
    return SearchResults(
        name=search.name,
        ledger=ledger,
        finalists=tuple(order),
        dataset=dataset,
        test=test,
        model=_model(tags, ledgers) if tags else None,
        calibration=tags.calibration if tags else None,
        decision=tags.decision if tags else "",
        choice=choice,
        number=tags.version if tags and search.concluded else None,
        latency=tags.latency if tags else None,
        judged=_judged(search, order, ledgers, test, again=judge_again),
    )


def _judged(
    search: Search,
    order: Sequence[Finalist],
    ledgers: Ledgers,
    test: Predictions | None,
    *,
    again: bool,
) -> Judged | None:
    if not order:
        return None
    whole = load_dataset(search.config.data.unfolded, search.config.cache.of_images)
    return held_out(order[0], ledgers, SearchFolder(search.name), whole, test, again=again)


def _model(tags: SearchTags, ledgers: Ledgers) -> Model | None:
    """The model that a search's run names, if it has come to one."""
    if not tags.ingredients:
        return None
    best = {
        run_name(ledger.kind, number): len(log.epochs) if ledger is ledgers.refitted else log.best
        for ledger in ledgers.all
        for number, log in ledger.trials.items()
    }
    single = len(tags.ingredients) == 1
    return Model(tags.ingredients, best.get(tags.ingredients[0]) if single else None, tags.score)
