"""The report's page, of made-up searches."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.helpers.results import add_trial, results_of
from trainable.data.datasets import Dataset
from tune.reporting.card import model_card
from tune.reporting.page import page
from tune.reporting.winner import story
from tune.strategy.confirmation import Finalist


def test_names_cannot_write_into_the_page(dataset: Dataset) -> None:
    evil = "</script><script>alert(1)</script>"
    named = replace(dataset, classes=(evil, *dataset.classes[1:]))
    text = page(replace(results_of(dataset, 4), name=evil, dataset=named, decision=evil))
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(1)") >= 3, "it is shown as it is"


LUCK = "trial 0, epoch 6: the luckiest of 4 trials"
MODEL = "on the validation images, by which it was chosen: trial-000, epoch 6"
SERVED = "by the model, as it is served, on 360 images"
INTERVAL = "95 % interval 96.04% to 99.05%, "


def test_the_cards_say_who_won(dataset: Dataset) -> None:
    results = results_of(dataset, 4)
    first, last = results.ledger.trials[0], results.ledger.trials[3]
    finalist = Finalist(first, runs=[last, last])
    cards = cards_of(page(replace(results, finalists=(finalist,))))
    assert cards == {
        "Trials": ("4", "2 complete, 2 pruned"),
        "Validation accuracy": (f"{first.score:.2%}", LUCK),
        "Confirmed": (f"{last.score:.2%}", "± 0.00% over 2 other seeds, after epoch 6"),
        "Model": ("90.00%", MODEL),
        "Test accuracy": ("98.06%", INTERVAL + SERVED),
    }


@pytest.mark.parametrize("word", ["objective.metric=val_acc", "objective.metric=val_loss"])
def test_what_is_surest_comes_first_and_the_luckiest_score_last(
    word: str, dataset: Dataset
) -> None:
    results = results_of(dataset, 4, word)
    first, last = results.ledger.trials[0], results.ledger.trials[3]
    chosen = replace(results, finalists=(Finalist(first, runs=[last, last]),), number=3)
    show, text = results.objective.show, unescape(page(chosen))
    *tested, confirmed, model, luckiest, trials = cards_of(text)
    assert set(tested) == {each.capitalize() for each in results.test_values}
    title = results.objective.title()
    assert (confirmed, model, luckiest, trials) == (
        *("Confirmed", "Model", title.capitalize(), "Trials"),
    )
    card = model_card(chosen).replace("\\", "")
    for words in (story(chosen), text.partition("</section>")[0], card):
        places = [
            *(words.index(f"{what} {value}") for what, value in results.test_values.items()),
            words.index(f"over 2 other seeds: {show(last.score)}"),
            words.index(f"{title} of {show(first.score)}, partly luck"),
        ]
        assert places == sorted(places)


def test_a_trial_that_scored_higher_than_the_winner_is_not_concealed(dataset: Dataset) -> None:
    results = results_of(dataset, 4)
    winner, other = (results.ledger.trials[number] for number in (0, 3))
    winner.epochs[-1].metrics["val_acc"] = 0.5
    for epoch in winner.epochs:
        epoch.metrics["val_acc"] = min(epoch.metrics["val_acc"], 0.5)
    assert results.luckiest is other
    told = story(replace(results, finalists=(Finalist(winner),)))
    assert f"the best single score was trial 3's, {other.score:.2%}" in told
    assert "the config's own values, which were tried first" in told
    assert "nothing else that was tried was better" not in told


def test_of_a_single_run_no_spread_is_said(dataset: Dataset) -> None:
    results = results_of(dataset, 4)
    first, last = results.ledger.trials[0], results.ledger.trials[3]
    cards = cards_of(page(replace(results, finalists=(Finalist(first, runs=[last]),))))
    assert cards["Confirmed"][1] == "over 1 other seed, after epoch 6"


def test_the_only_trial_is_not_called_the_luckiest(dataset: Dataset) -> None:
    results = results_of(dataset, 1)
    cards = cards_of(page(replace(results, finalists=(Finalist(results.ledger.trials[0]),))))
    assert cards["Validation accuracy"][1] == "trial 0, epoch 6: the only trial"


def test_where_the_loss_is_minimized_the_page_is_about_it(dataset: Dataset) -> None:
    results = results_of(dataset, 4, "objective.metric=val_loss")
    assert results.test is not None
    first, last = results.ledger.trials[0], results.ledger.trials[3]
    text = page(replace(results, finalists=(Finalist(first, runs=[last, last]),)))
    loss = first.best_epoch.metrics["val_loss"]
    assert cards_of(text) == {
        "Trials": ("4", "2 complete, 2 pruned"),
        "Validation loss": (f"{loss:.4g}", LUCK),
        "Confirmed": (f"{last.score:.4g}", "± 0 over 2 other seeds, after epoch 6"),
        "Model": ("0.9", MODEL),
        "Test loss": (
            f"{results.test.loss:.4g}",
            f"{results.test_intervals['test loss']}, {SERVED}",
        ),
        "Test accuracy": ("98.06%", INTERVAL + SERVED),
    }
    assert "Far above the line: overfitting." in text
    assert f"<td>{loss:.4g}</td><td>{loss:.4g}</td>" in text


def test_the_table_has_a_row_for_each_trial_and_its_error(dataset: Dataset) -> None:
    results = results_of(dataset, 2)
    add_trial(results.ledger, [], TrialState.FAIL, "out of memory")
    rows = re.findall(r"<tr>(<td>.*?)</tr>", trials_of(page(results)))
    cells = [re.findall("<td>(.*?)</td>", row) for row in rows]
    best = results.ledger.trials[0].best_epoch.metrics
    percent = [f"{best['val_acc']:.2%}", f"{best['train_acc']:.2%}"]
    assert cells[0][:5] == ["0", "complete", "6", *percent]
    assert cells[2][:5] == ["2", "fail", "0", "out of memory", ""]


def test_a_key_that_a_trial_does_not_have_is_an_empty_cell(dataset: Dataset) -> None:
    when = "{values: [0.65, 0.8], when: {model.unfreeze_depth: {ge: 3}}}"
    results = results_of(dataset, 9, f"space.optim={{layer_decay: {when}, l1: [0.5]}}")
    rows = re.findall(r"<tr>(<td>.*?)</tr>", trials_of(page(results)))
    keys = list(results.config.space)
    column = 5 + keys.index("optim.layer_decay")
    for row, log in zip(rows, results.ledger.trials.values(), strict=True):
        cells = re.findall("<td>(.*?)</td>", row)
        assert cells[column] == str(log.params.get("optim.layer_decay", ""))
        assert cells[5 + keys.index("optim.l1")] == "0.5"
    assert len({len(log.params) for log in results.ledger.trials.values()}) == 2


def test_the_page_says_what_was_measured_and_no_estimate_of_what_was_saved(
    dataset: Dataset,
) -> None:
    results = results_of(dataset, 2)
    epochs = [epoch for log in results.trials for epoch in log.epochs]
    seconds = sum(epoch.metrics["epoch_seconds"] for epoch in epochs)
    text = page(results)
    assert f">{len(epochs)} epochs took {seconds:.0f} s of trial time.<" in text
    assert "% saved" not in text


def test_the_gallery_shows_every_mistake_once(dataset: Dataset) -> None:
    shown = re.findall(
        r'<img alt="(.*?)" src="data:image/png;base64,', page(results_of(dataset, 1))
    )
    labels = dataset.test.labels[:7].tolist()  # the most confident mistake is the last
    assert shown == [dataset.classes[label] for label in labels[::-1]]


def trials_of(text: str) -> str:
    """A page from its table of trials on."""
    return text[text.index('id="trials"') :]


def cards_of(text: str) -> dict[str, tuple[str, str]]:
    """The cards of a page: what they are about, their value and their note."""
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd><small>(.*?)</small>", text)
    return {what: (value, note) for what, value, note in found}


def test_a_winner_that_was_proposed_is_not_called_the_configs_own(dataset: Dataset) -> None:
    results = results_of(dataset, 4)
    other = replace(results, finalists=(Finalist(results.ledger.trials[1]),))
    assert "the config's own values" not in unescape(page(other))


def test_the_page_begins_with_the_winner_and_lists_what_follows(dataset: Dataset) -> None:
    results = results_of(dataset, 4)
    best = results.ledger.trials[0]
    text = page(replace(results, finalists=(Finalist(best),), number=3, latency=0.0123))
    story, rest = re.search(r'id="winner">.*?<p>(.*?)</p>(.*)</section>', text, re.S).groups()
    assert story.startswith("4 trials (2 complete, 2 pruned); the model (a single run: trial-000,")
    assert "; trial 0 won the search with a validation accuracy of " in story
    assert "the config's own values, which were tried first, and nothing else" in unescape(story)
    assert "on 360 images: test accuracy 98.06% (95 % interval 96.04% to 99.05%); trial" in story
    for key, value in best.params.items():
        shown = f"{value:.4g}" if isinstance(value, float) else value
        assert f"<dt>{key}</dt><dd>{shown}</dd>" in rest
    assert "resnet-tune predict --model models:/resnet18-digits/3 photo.jpg" in rest
    assert 'href="MODEL_CARD.md"' in rest
    assert cards_of(text)["Latency"][0] == "12.3 ms"
    named = set(re.findall(r'<li><a href="#(.*?)">', text))
    assert named <= set(re.findall(r'id="(.*?)"', text))
    assert len(named) == text.count("<figure") + 4


def test_a_model_that_is_not_registered_has_no_command(dataset: Dataset) -> None:
    text = page(results_of(dataset, 4))
    assert "tune.predict" not in text
    assert "MODEL_CARD" not in text


def test_mistakes_have_their_files_and_classes_their_counts(dataset: Dataset) -> None:
    files = tuple(Path(f"/photos/<i>{index}.png") for index in range(len(dataset.test)))
    given = replace(dataset, test=replace(dataset.test, files=files))
    text = page(replace(results_of(dataset, 1), dataset=given))
    assert re.findall(r'file" title=".*?"><bdi>(.*?)</bdi>', text)[-1] == "/photos/&lt;i&gt;0.png"
    counts = [
        int((split.labels == 3).sum()) for split in (dataset.train, dataset.val, dataset.test)
    ]
    test = results_of(dataset, 1).test
    assert test is not None
    row = test.per_class(dataset.classes)["3"]
    shares = [f"{row[key]:.1%}" for key in ("precision", "recall", "f1")]
    cells = "".join(f"<td>{cell}</td>" for cell in (*counts, *shares))
    assert f"<td><bdi>3</bdi></td>{cells}" in text
    assert "<th>test</th><th>precision</th><th>recall</th><th>F1</th>" in text


def test_before_a_model_is_tested_classes_have_counts_alone(dataset: Dataset) -> None:
    text = page(replace(results_of(dataset, 1), test=None))
    assert "<th>test</th></tr>" in text


def test_a_winner_that_was_not_the_best_by_itself_is_not_called_so(dataset: Dataset) -> None:
    results = results_of(dataset, 4)
    other = next(log for log in results.trials if log is not results.luckiest)
    cards = cards_of(page(replace(results, finalists=(Finalist(other),))))
    assert results.luckiest is not None
    best = f"the luckiest of 4 trials was trial {results.luckiest.number}"
    assert cards["Validation accuracy"][1] == f"trial {other.number}, epoch {other.best}; {best}"
