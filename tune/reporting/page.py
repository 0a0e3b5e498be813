"""A report as one page that needs no network."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from trainable.data.decoding import as_png
from tune.reporting.data import common_epoch, compute_of, worst_mistakes
from tune.reporting.figures import figures
from tune.reporting.results import SearchResults
from tune.study.trial import TrialLog

MISTAKES: Final = 24
"""In the gallery."""

_TEMPLATES: Final = Path(__file__).parent / "templates"
_WIDE: Final = {"Parallel coordinates", "Slices", "Contours"}
_CAPTIONS: Final = {
    "Optimization history": "Each trial's best epoch; the line is the best that completed.",
    "Learning curves": "Short ones were stopped as weak.",
    "Train and validation": "Far below the line: learnt by heart.",
    "What mattered": "PED-ANOVA over all trials, those that were stopped too, after epoch {epoch}.",
    "Parallel coordinates": "All trials after epoch {epoch}, which all of them reached.",
    "Slices": "All trials after epoch {epoch}, which all of them reached.",
    "Contours": "All trials after epoch {epoch}, which all of them reached.",
    "The finalists": "The best score of a search is partly luck: other seeds tell how much.",
    "Confusion": "Test images: truth by row, answer by column.",
    "Precision and recall": "On the test images.",
    "Calibration": "On the test images; the numbers count them.",
}


def page(results: SearchResults) -> str:
    """The report as HTML."""
    made = figures(results)
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
        figures=[_figure(title, common_epoch(results)) for title in made],
        mistakes=_mistakes(results),
        heads=["trial", "state", "epochs", "best", "train", *results.config.space],
        rows=[_row(log) for log in results.ledger.trials.values()],
        plotly_js=Markup(get_plotlyjs()),  # noqa: S704 - the library's own text
        plots=Markup(_plots(made)),  # noqa: S704 - JSON in which no tag can end the script
    )


def _figure(title: str, epoch: int) -> dict[str, Any]:
    caption = _CAPTIONS[title].format(epoch=epoch)
    return {"title": title, "caption": caption, "wide": title in _WIDE}


def _plots(made: dict[str, Figure]) -> str:
    content = json.dumps([json.loads(figure.to_json()) for figure in made.values()])
    return content.replace("<", "\\u003c")


def _about(results: SearchResults) -> str:
    data = results.dataset
    sizes = f"{len(data.train)} training, {len(data.val)} validation and {len(data.test)} test"
    return f"{results.config.data.source}: {sizes} images, {len(data.classes)} classes"


def _cards(results: SearchResults) -> list[dict[str, str]]:
    counts = results.ledger.counts()
    states = ", ".join(f"{count} {state.name.lower()}" for state, count in counts.items())
    cards = [{"what": "Trials", "value": str(len(results.ledger.trials)), "note": states}]
    if results.finalists:
        best = results.finalists[0]
        note = f"trial {best.trial.number}, epoch {best.trial.best}"
        cards.append(_card("Validation accuracy", best.trial.score or 0.0, note))
        if best.runs:
            note = f"± {best.spread:.2%} over {len(best.runs)} other seeds"
            cards.append(_card("Confirmed", best.mean, note))
    if results.test is not None:
        what = "soup of the finalists" if results.candidate == "soup" else "best single run"
        cards.append(_card("Test accuracy", results.test.accuracy, f"by the {what}"))
    return cards


def _card(what: str, share: float, note: str) -> dict[str, str]:
    return {"what": what, "value": f"{share:.2%}", "note": note}


def _compute(results: SearchResults) -> str:
    spent = compute_of(results)
    return (
        f"{spent.epochs} epochs took {spent.seconds:.0f} s of trial time. Of {spent.asked:,} images"
        f" that had to pass frozen layers, {spent.computed:,} were computed, from an empty store: "
        f"{spent.saved:.0%} saved."
    )


def _mistakes(results: SearchResults) -> list[dict[str, str]] | None:
    if results.test is None:
        return None
    names, test = results.dataset.classes, results.test
    return [
        {
            "source": _as_source(results, int(index)),
            "answer": names[int(test.probabilities[index].argmax())],
            "confidence": f"{test.probabilities[index].max():.0%}",
            "truth": names[int(test.labels[index])],
        }
        for index in worst_mistakes(test, MISTAKES)
    ]


def _as_source(results: SearchResults, index: int) -> str:
    png = as_png(results.dataset.test.images[index].permute(1, 2, 0).numpy())
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _row(log: TrialLog) -> list[Any]:
    scores = (
        [log.best_epoch.metrics[name] for name in ("val_acc", "train_acc")] if log.epochs else []
    )
    shown = [f"{score:.2%}" for score in scores] or [log.error or "", ""]
    params = [f"{v:.3g}" if isinstance(v, float) else v for v in log.params.values()]
    return [log.number, log.state.name.lower(), len(log.epochs), *shown, *params]
