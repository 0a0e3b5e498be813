"""The winner of a search in words: for the report's beginning, and for the model's card."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from tune.base.passwords import masked
from tune.reporting.results import SearchResults


def story(results: SearchResults) -> str:
    """What happened, in one sentence."""
    counts = results.ledger.counts()
    states = ", ".join(f"{count} {state.name.lower()}" for state, count in counts.items() if count)
    count = len(results.ledger.trials)
    begin = f"{count} {'trial' if count == 1 else 'trials'} ({states})"
    return f"{'; '.join([begin, *_clauses(results)])}."


def _clauses(results: SearchResults) -> Iterator[str]:
    """From the surest to the luckiest, as on the terminal."""
    objective = results.objective
    if not results.finalists:
        yield "none has won yet"
        return
    best, others = results.finalists[0], len(results.ledger.trials) - 1
    if results.model is not None and results.test is not None:
        images, intervals = len(results.dataset.test), results.test_intervals
        scores = (f"{what} {v} ({intervals[what]})" for what, v in results.test_values.items())
        yield f"the model ({results.model.described}), on {images} images: {', '.join(scores)}"
    if best.runs:
        spread = f" ± {objective.show(best.spread)}" if len(best.runs) > 1 else ""
        yield f"trial {best.trial.number}, over {best.over}: {objective.show(best.mean)}{spread}"
    luck = ", partly luck" if others else ""
    score = f"{objective.title()} of {objective.show(best.trial.score)}"
    yield f"trial {best.trial.number} won the search with a {score}{luck}"
    yield from _rivals(results)


def _rivals(results: SearchResults) -> Iterator[str]:
    """How the winner stands beside the other trials."""
    winner, luckiest = results.finalists[0].trial, results.luckiest
    if len(results.ledger.trials) == 1:
        return
    beaten = luckiest is None or luckiest.rank <= winner.rank
    if luckiest is not None and not beaten:
        score = results.objective.show(luckiest.score)
        yield f"the best single score was trial {luckiest.number}'s, {score}"
    if winner.number == 0 and not results.config.sampler.points:
        rest = ", and nothing else that was tried was better" if beaten else ""
        yield f"the winner has the config's own values, which were tried first{rest}"


def settings(results: SearchResults) -> dict[str, Any]:
    """The winner's values of the searched keys; empty if there is no winner."""
    if not results.finalists:
        return {}
    params = results.finalists[0].trial.params
    found = {key: params[key] for key in results.config.space if key in params}
    return {key: f"{v:.4g}" if isinstance(v, float) else v for key, v in found.items()}


def command(results: SearchResults) -> str:
    """The command that predicts with the registered model; empty if it is not registered."""
    if results.version is None:
        return ""
    uri = results.config.tracking.uri
    where = f"MLFLOW_TRACKING_URI={shlex.quote(masked(uri))} " if uri else ""
    model = shlex.quote(f"models:/{results.config.model_name}/{results.version}")
    return f"{where}resnet-tune predict --model {model} photo.jpg"


def latency(results: SearchResults) -> str:
    """How long the model takes for an image, in words; empty if that was not measured."""
    if results.latency is None:
        return ""
    side = results.config.data.image_size
    if results.finalists:
        side = results.finalists[0].trial.params.get("data.image_size", side)
    return f"{results.latency * 1000:.3g} ms for one image of {side} x {side}"


def class_rows(results: SearchResults) -> list[tuple[str, ...]]:
    """Each class's name, its images, and precision, recall and F1 on the test images, as text."""
    rows, test = class_counts(results), results.test
    if test is None:
        return [(name, *map(str, counts)) for name, *counts in rows]
    found = test.per_class([str(number) for number in range(len(rows))]).values()
    return [
        (name, *map(str, counts), *(f"{each[key]:.1%}" for key in ("precision", "recall", "f1")))
        for (name, *counts), each in zip(rows, found, strict=True)
    ]


def class_counts(results: SearchResults) -> list[tuple[str, int, int, int]]:
    """Each class's name, and the numbers of its training, validation and test images."""
    data = results.dataset
    splits = (data.train, data.val, data.test)
    counts = [split.counts(len(data.classes)) for split in splits]
    return list(zip(data.classes, *counts, strict=True))
