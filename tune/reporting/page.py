"""A report as one page that needs no network."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from trainable.data.decoding import as_png, as_thumbnail
from trainable.metrics import Objective
from trainable.text import printable
from tune.reporting.predictions import worst_mistakes
from tune.reporting.results import SearchResults
from tune.reporting.sections import draw_sections
from tune.study.trial import TrialLog

_TEMPLATES: Final = Path(__file__).parent / "templates"
_THUMBNAIL: Final = 160
"""The side of a picture in the gallery, in pixels."""


def page(results: SearchResults) -> str:
    """The report as HTML."""
    drawn = draw_sections(results)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html").render(
        name=results.name,
        about=_about(results),
        cards=_cards(results),
        decision=results.decision,
        compute=_compute(results),
        sections=[
            {"title": each.title, "caption": each.caption_of(results), "wide": each.wide}
            for each, _ in drawn
        ],
        mistakes=_mistakes(results),
        heads=["trial", "state", "epochs", "best", "train", *results.config.space],
        rows=[
            _row(log, results.objective, results.config.space)
            for log in results.ledger.trials.values()
        ],
        plotly_js=Markup(get_plotlyjs()),  # noqa: S704 - the library's own text
        plots=Markup(_plots([figure for _, figure in drawn])),  # noqa: S704 - JSON in which no tag can end the script
    )


def _plots(figures: list[Figure]) -> str:
    content = json.dumps([json.loads(figure.to_json()) for figure in figures])
    return content.replace("<", "\\u003c")


def _about(results: SearchResults) -> str:
    data = results.dataset
    sizes = f"{len(data.train)} training, {len(data.val)} validation and {len(data.test)} test"
    return f"{results.config.data.source}: {sizes} images, {len(data.classes)} classes"


def _cards(results: SearchResults) -> list[dict[str, str]]:
    counts = results.ledger.counts()
    states = ", ".join(f"{count} {state.name.lower()}" for state, count in counts.items())
    cards = [{"what": "Trials", "value": str(len(results.ledger.trials)), "note": states}]
    show = results.objective.show
    if results.finalists:
        best = results.finalists[0]
        note = (
            f"trial {best.trial.number}, epoch {best.trial.best}: the best of "
            f"{len(results.trials)} trials, so partly luck"
        )
        title = results.objective.title().capitalize()
        cards.append({"what": title, "value": show(best.trial.score), "note": note})
        if best.runs:
            note = f"± {show(best.spread)} over {best.over} after that epoch"
            cards.append({"what": "Confirmed", "value": show(best.mean), "note": note})
    if results.model is not None:
        why = results.judged_by or "on the validation images, by which it was chosen"
        note = f"{why}: {results.model}"
        cards.append({"what": "Model", "value": show(results.model.score), "note": note})
    images = len(results.dataset.test)
    for title, value in results.test_values.items():
        note = f"by the model, as it is served, on {images} images"
        cards.append({"what": title.capitalize(), "value": value, "note": note})
    return cards


def _compute(results: SearchResults) -> str:
    epochs = [epoch for log in results.trials for epoch in log.epochs]
    seconds = sum(epoch.metrics["epoch_seconds"] for epoch in epochs)
    return f"{len(epochs)} epochs took {seconds:.0f} s of trial time."


def _mistakes(results: SearchResults) -> list[dict[str, str]] | None:
    test = results.served
    if test is None:
        return None
    names, probabilities = results.dataset.classes, test.probabilities
    return [
        {
            "source": _as_source(results, int(index)),
            "answer": printable(names[int(probabilities[index].argmax())]),
            "confidence": f"{probabilities[index].max():.0%}",
            "truth": printable(names[int(test.labels[index])]),
        }
        for index in worst_mistakes(test)
    ]


def _as_source(results: SearchResults, index: int) -> str:
    pixels = results.dataset.test.images[index].permute(1, 2, 0).numpy()
    kind, content = "png", as_png(pixels)
    if len(pixels) > _THUMBNAIL:  # as it is, it would take as much room as all the figures
        kind, content = "jpeg", as_thumbnail(pixels, _THUMBNAIL)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _row(log: TrialLog, objective: Objective, keys: Iterable[str]) -> list[Any]:
    shown = [log.error or "", ""]
    if log.epochs:
        metrics = log.best_epoch.metrics
        values = objective.score(metrics), metrics.get(objective.on("train"))
        shown = [objective.show(value) for value in values]
    found = (log.params.get(key, "") for key in keys)  # a trial may not have one
    params = [f"{v:.3g}" if isinstance(v, float) else v for v in found]
    return [log.number, log.state.name.lower(), len(log.epochs), *shown, *params]
