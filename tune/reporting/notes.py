"""What a search came to, as MLflow shows it on its run and on the version that it registered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from trainable.inference.calibration import NONE
from tune.reporting.card import has_card
from tune.reporting.results import SearchResults
from tune.tracking.notes import LONGEST, SIGNATURE, Links, plain
from tune.tracking.schema import Artifact

_NAMED: Final = 20
"""Classes whose names are listed."""


def note(results: SearchResults, links: Links) -> str:
    """A search and its model in Markdown: what, on which data, how good, how to call it."""
    lines = [*_head(results, links), "", *_facts(results), *_calls(results)]
    text = "\n".join(lines)
    if len(text) > LONGEST - len(SIGNATURE):
        text = f"{text[: LONGEST - len(SIGNATURE)]}…"
    return f"{text}\n\n{SIGNATURE}\n"


def _head(results: SearchResults, links: Links) -> Iterator[str]:
    names = results.dataset.classes
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    listed = ", ".join(plain(name, 40) for name in names[:_NAMED])
    yield f"An image classifier of {len(names)} classes: {listed}{more}."
    yield ""
    report = links.to_file("report", Artifact.REPORT)
    runs = ", ".join(links.to_run(name, run_id) for name, run_id in links.runs.items())
    card = [links.to_file("model card", Artifact.CARD)] if has_card(results) else []
    search = links.to_run(f"search {results.name}")
    yield " · ".join([report, *card, search, *([runs] if runs else [])])


def _facts(results: SearchResults) -> Iterator[str]:
    config, data = results.config, results.dataset
    if results.standing is not None:
        yield f"- **Registered** as version {results.standing.version} of `{config.model_name}`."
    if results.decision:
        yield f"- **Decision**: {plain(results.decision, 600)}"
    if results.model is not None:
        yield f"- **Model**: {plain(results.model)}"
    yield (
        f"- **Data**: {plain(config.data.origin)}, {len(data.train)} training, "
        f"{len(data.val)} validation and {len(data.test)} test images, fingerprint "
        f"`{data.fingerprint}`"
    )
    yield from _scores(results)
    failed = [log for log in results.ledger.trials.values() if log.error]
    yield f"- **Trials**: {len(results.ledger.trials)}, {len(failed)} with an error"
    if failed:
        yield f"- **Last error**, of trial {failed[-1].number}: {plain(failed[-1].error, 200)}"


def _scores(results: SearchResults) -> Iterator[str]:
    objective = results.objective
    intervals = results.test_intervals
    for what, value in results.test_values.items():
        images = f"on {len(results.dataset.test)} images"
        yield f"- **{what.capitalize()}**: {value} ({intervals[what]}), {images}"
    if results.finalists and results.finalists[0].runs:
        best = results.finalists[0]
        mean = objective.show(best.mean)
        spread = f" ± {objective.show(best.spread)}" if len(best.runs) > 1 else ""
        yield f"- **Confirmed**: {objective.title()} {mean}{spread} over {plain(best.over)}"
    if results.model is not None:
        why = results.judged_by or "on the images by which it was chosen, so partly luck"
        score = objective.show(results.model.score)
        yield f"- **Validation**: {objective.title()} {score}, {plain(why)}"
    found = results.calibration
    if found not in (None, NONE):
        assert found is not None
        unsure = "no answer is unsure"
        if found.unsure_below > 0:
            unsure = f"unsure below {min(found.unsure_below, 1):.1%}"
        yield f"- **Probabilities**: calibrated (temperature {found.temperature:.3g}), {unsure}"


def _calls(results: SearchResults) -> Iterator[str]:
    if results.standing is None:
        return
    uri = f"models:/{results.config.model_name}/{results.standing.version}"
    yield from (
        *("", "To label images, to serve it, and from Python:", "", "```"),
        f"resnet-tune predict --model {uri} photo.jpg",
        f"mlflow models serve -m {uri} --env-manager local",
        f'mlflow.pyfunc.load_model("{uri}").predict(pandas.DataFrame({{"image": [BASE64]}}))',
        "```",
    )
