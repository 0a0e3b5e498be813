"""A report as one page that needs no network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from markupsafe import Markup
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from trainable.base.text import printable, shortened
from trainable.data.forms.remote import folder_of
from trainable.judging.objective import Objective
from tune.config.durations import duration_text
from tune.reporting.card import has_card
from tune.reporting.pictures import as_source
from tune.reporting.predictions import answer_of, truth_of, worst_mistakes
from tune.reporting.results import SearchResults
from tune.reporting.sections import Section, draw_sections
from tune.reporting.soundness import data_part
from tune.reporting.templating import template
from tune.reporting.winner import class_rows, command, latency, settings, story
from tune.study.trial import TrialLog

_WIDE: Final = 704
"""The width of a wide figure in pixels, below which it can be scrolled."""
_PATH: Final = 60
"""Characters of a path that are shown; the pointer shows all of it."""


def page(results: SearchResults) -> str:
    """The report as HTML."""
    drawn = draw_sections(results)
    return template("report.html").render(
        name=results.name,
        about=_about(results),
        story=story(results),
        settings={key: printable(str(value)) for key, value in settings(results).items()},
        command=command(results),
        card=has_card(results),
        classes=[(printable(name), *cells) for name, *cells in class_rows(results)],
        cards=_cards(results),
        decision=results.decision,
        compute=_compute(results),
        sections=_placed(results, drawn),
        mistakes=_mistakes(results),
        data=data_part(results),
        heads=["trial", "state", "epochs", "best", "train", *results.config.space],
        rows=[
            _row(log, results.objective, results.config.space)
            for log in results.ledger.trials.values()
        ],
        plotly_js=Markup(get_plotlyjs()),  # noqa: S704 - the library's own text
        plots=Markup(_plots([figure for _, figure in drawn])),  # noqa: S704 - JSON in which no tag can end the script
    )


def _placed(results: SearchResults, drawn: list[tuple[Section, Figure]]) -> list[dict[str, Any]]:
    """The sections as the page shows them: two in a row, and none beside an empty place."""
    placed = [
        {
            "title": section.title,
            "caption": section.caption_of(results),
            "wide": section.wide or figure.layout.width is not None,
            "width": figure.layout.width or (_WIDE if section.wide else None),
        }
        for section, figure in drawn
    ]
    narrow = [each for each in placed if not each["wide"]]
    if len(narrow) % 2:
        narrow[-1]["wide"] = True
    return placed


def _plots(figures: list[Figure]) -> str:
    content = json.dumps([json.loads(figure.to_json()) for figure in figures])
    return content.replace("<", "\\u003c")


def _about(results: SearchResults) -> str:
    data = results.dataset
    sizes = f"{len(data.train)} training, {len(data.val)} validation and {len(data.test)} test"
    return f"{results.config.data.source}: {sizes} images, {len(data.classes)} classes"


def _cards(results: SearchResults) -> list[dict[str, str]]:
    """What is known of the winner, from the surest to the luckiest, and what it took."""
    counts = results.ledger.counts()
    states = ", ".join(f"{count} {state.name.lower()}" for state, count in counts.items())
    cards, show = [*_tested(results), *_confirmed(results)], results.objective.show
    if results.model is not None:
        why = results.judged_by or "on the validation images, by which it was chosen"
        note = f"{why}: {results.model}"
        cards.append({"what": "Model", "value": show(results.model.score), "note": note})
    if results.finalists:
        title = results.objective.title().capitalize()
        score = show(results.finalists[0].trial.score)
        cards.append({"what": title, "value": score, "note": _luck(results)})
    if found := latency(results):
        value, what = found.split(" for ")
        note = f"for {what}, already decoded, the best of several, on the machine of the search"
        cards.append({"what": "Latency", "value": value, "note": note})
    cards.append({"what": "Trials", "value": str(len(results.ledger.trials)), "note": states})
    return cards


def _confirmed(results: SearchResults) -> Iterator[dict[str, str]]:
    """The card of the winner's runs under other seeds or on folds, if there were any."""
    if results.finalists and (best := results.finalists[0]).runs:
        show = results.objective.show
        spread = f"± {show(best.spread)} " if len(best.runs) > 1 else ""
        note = f"{spread}over {best.over}, after epoch {best.trial.best}"
        yield {"what": "Confirmed", "value": show(best.mean), "note": note}


def _luck(results: SearchResults) -> str:
    """What is to be thought of the score by which the search chose its winner."""
    winner, luckiest = results.finalists[0].trial, results.luckiest
    count = len(results.trials)
    where = f"trial {winner.number}, epoch {winner.best}"
    if count == 1:
        return f"{where}: the only trial"
    if luckiest is None or luckiest.number == winner.number:
        return f"{where}: the luckiest of {count} trials"
    return f"{where}; the luckiest of {count} trials was trial {luckiest.number}"


def _tested(results: SearchResults) -> Iterator[dict[str, str]]:
    """The cards of what the model reached on the test images."""
    images, intervals = len(results.dataset.test), results.test_intervals
    for title, value in results.test_values.items():
        how = f"by the model, {results.how_tested(title)}, on {images} images"
        yield {"what": title.capitalize(), "value": value, "note": f"{intervals[title]}, {how}"}


def _compute(results: SearchResults) -> str:
    epochs = [epoch for log in results.trials for epoch in log.epochs]
    seconds = sum(epoch.metrics["epoch_seconds"] for epoch in epochs)
    return f"{len(epochs)} epochs took {duration_text(round(seconds))} of trial time."


def _mistakes(results: SearchResults) -> list[dict[str, str]] | None:
    test = results.served
    if test is None:
        return None
    names, sureness = results.dataset.classes, test.sureness
    return [
        {
            "source": _as_source(results, int(index)),
            "answer": printable(answer_of(test, names, int(index))),
            "confidence": f"{sureness[index]:.0%}",
            "truth": printable(truth_of(test, names, int(index))),
            "file": _file(results, int(index)),
            "file_shown": shortened(_file(results, int(index)), _PATH),
        }
        for index in worst_mistakes(test)
    ]


def _file(results: SearchResults, index: int) -> str:
    """The file of a test image, below the folder of the data if it is there."""
    files, root = results.dataset.test.files, results.config.data.root
    if not files:
        return ""
    path = files[index]
    folder = None if root is None else folder_of(root)
    for above in (folder, folder and folder.resolve()):
        if above is not None and path.is_relative_to(above):
            path = path.relative_to(above)
            break
    return printable(str(path))


def _as_source(results: SearchResults, index: int) -> str:
    return as_source(results.dataset.test.images[index].permute(1, 2, 0).numpy())


def _row(log: TrialLog, objective: Objective, keys: Iterable[str]) -> list[Any]:
    shown = [log.error or "", ""]
    if log.epochs:
        metrics = log.best_epoch.metrics
        values = objective.score(metrics), metrics.get(objective.on("train"))
        shown = [objective.show(value) for value in values]
    found = (log.params.get(key, "") for key in keys)  # a trial may not have one
    params = [f"{v:.3g}" if isinstance(v, float) else v for v in found]
    return [log.number, log.state.name.lower(), len(log.epochs), *shown, *params]
