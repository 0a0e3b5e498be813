"""The card of a registered model (Mitchell et al. 2019): what it is, and what it is not for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tune.config.space import flatten
from tune.reporting.results import SearchResults
from tune.reporting.winner import class_counts, command, latency, settings, story
from tune.tracking.notes import plain

_FEW: Final = 30
"""Test images of a class below which its own numbers are not relied on."""
_WHOLE: Final = 10_000
"""The longest text of a card: names and decisions are not cut."""


def has_card(results: SearchResults) -> bool:
    """Whether a search has a model that is registered and tested."""
    return None not in (results.version, results.model, results.test)


def model_card(results: SearchResults) -> str:
    """The card in Markdown, of a model that is registered and tested.

    Names of classes, files and whatever else others have written are escaped.
    """
    assert has_card(results)
    name = results.config.model_name
    classes = len(results.dataset.classes)
    what = f"An image classifier of {classes} classes. {plain(story(results), _WHOLE)}"
    parts = {
        "": [what],
        "Data": _data(results),
        "Training": _training(results),
        "Results": _results(results),
        "Comparison": _comparison(results),
        "Limits": _limits(results),
        "Use": _use(results),
    }
    text = [f"# {plain(name)}, version {results.version}"]
    for title, lines in parts.items():
        text += ["", *([f"## {title}", ""] if title else []), *lines]
    return "\n".join(text) + "\n"


def _data(results: SearchResults) -> Iterator[str]:
    data, config = results.dataset, results.config.data
    yield f"Source: {plain(config.origin, _WHOLE)}; fingerprint `{data.fingerprint}`."
    yield ""
    rows = [(plain(name, _WHOLE), *counts) for name, *counts in class_counts(results)]
    total = ("all", len(data.train), len(data.val), len(data.test))
    yield from _table(("class", "training", "validation", "test"), [*rows, total])


def _training(results: SearchResults) -> Iterator[str]:
    assert results.model is not None
    yield f"Weights: {plain(results.model.described, _WHOLE)}. Settings, the searched ones first:"
    yield ""
    searched = settings(results)
    trial = results.config.trial(results.finalists[0].trial.params) if results.finalists else None
    every = {} if trial is None else flatten(trial.model_dump(mode="json"))
    rest = {key: value for key, value in every.items() if key not in searched}
    rows = {**searched, **{key: _words(value) for key, value in rest.items() if value is not None}}
    yield from _table(("key", "value"), [(plain(k), plain(v, _WHOLE)) for k, v in rows.items()])


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _results(results: SearchResults) -> Iterator[str]:
    test = results.test
    assert test is not None
    for title, value in results.test_values.items():
        shown = f"{value} ({results.test_intervals[title]}), {results.how_tested(title)}"
        yield f"- {plain(title)}: {shown}, on {len(test.labels)} images"
    if results.disagreement:
        yield f"- {plain(results.disagreement, _WHOLE)}"
    found = results.calibration
    if found is not None and found.temperature != 1:
        error = found.of(test).calibration_error()
        yield f"- expected calibration error: {error:.3f}, at temperature {found.temperature:.3g}"
    if took := latency(results):
        yield f"- latency: {took}, on the machine of the search"
    yield ""
    numbers = test.per_class([str(number) for number in range(len(results.dataset.classes))])
    rows = [
        (
            plain(name, _WHOLE),
            *(f"{row[key]:.1%}" for key in ("precision", "recall", "f1")),
            f"{row['support']:.0f}",
        )
        for name, row in zip(results.dataset.classes, numbers.values(), strict=True)
    ]
    yield from _table(("class", "precision", "recall", "F1", "test images"), rows)


def _comparison(results: SearchResults) -> Iterator[str]:
    yield f"The registry's decision: {plain(results.decision or 'none', _WHOLE)}."


def _limits(results: SearchResults) -> Iterator[str]:
    names, test = results.dataset.classes, results.test
    assert test is not None
    if test.truth is None:
        yield (
            f"- It answers one of its {len(names)} classes to any image, also to one that shows "
            "none of them."
        )
    else:
        yield (
            f"- It answers which of its {len(names)} labels an image has, each on its own: those "
            "of a probability above one half."
        )
    yield "- The scores hold for images like those of the test; of others nothing is known."
    few = [name for name, _, _, count in class_counts(results) if count < _FEW]
    if few:
        yield (
            f"- {len(few)} of its classes have fewer than {_FEW} test images: their own numbers "
            "are hardly more than a hint."
        )
    found = results.calibration
    if found is not None and found.unsure_below > 0:
        below = min(found.unsure_below, 1)
        yield f"- Answers of a probability below {below:.1%} are marked as unsure."
    if found is None or found.temperature == 1:
        yield "- Its probabilities are not calibrated."


def _use(results: SearchResults) -> Iterator[str]:
    uri = f"models:/{results.config.model_name}/{results.version}"
    yield from ("```", command(results), f"mlflow models serve -m {uri} --env-manager local", "```")
    yield from ("", "```python", "import tune", "", f'model = tune.load_model("{uri}")')
    yield from ('model.predict(["photo.jpg"])', "```")


def _table(heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'|'.join([' --- ', *(' ---: ' for _ in heads[1:])])}|"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"
