"""Whether all of a report can be read: nothing overlaps, is cut, or as pale as the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, Page

from tests.helpers.pages import LAPTOP, PHONE, opened
from tests.helpers.results import dataset_of, results_of
from trainable.judging.predictions import Predictions
from tune.reporting.files import write_report
from tune.reporting.results import SearchResults
from tune.strategy.confirmation import Finalist

WIDE = (1400, 900)
SPACE = ("space.optim.weight_decay={low: 1.0e-5, high: 1.0e-1, log: true}",)
LONG = [
    f"{colour} {bird} of the {place}"
    for colour in ("golden", "scarlet", "greater", "northern", "spotted")
    for bird in ("retriever", "tanager", "honeyguide", "flycatcher")
    for place in ("river", "western mountains", "old world", "sea", "plain")
]

OVERLAPS = r"""() => {
  const wrong = [];
  const seen = one => one.getBoundingClientRect().width > 0 && one.textContent.trim();
  // A text turned by an angle, as a box in a frame that is turned by it too.
  const boxOf = one => {
    const turned = /rotate\((-?[\d.]+)/.exec(one.getAttribute('transform') || '');
    const angle = turned ? Number(turned[1]) : 0, radians = angle * Math.PI / 180;
    const drawn = one.getBoundingClientRect(), { width, height } = one.getBBox();
    const x = drawn.x + drawn.width / 2, y = drawn.y + drawn.height / 2;
    const along = x * Math.cos(radians) + y * Math.sin(radians);
    const across = y * Math.cos(radians) - x * Math.sin(radians);
    return { text: one.textContent, angle, along, across, width, height };
  };
  const groups = {
    'g[class$="tick"] > text': one => one.parentNode.getAttribute('class'),
    'g[class^="g-x"][class$="title"] text': () => 'titles',
    '.annotation-text': () => 'annotations',
    '.legendtext': () => 'legend',
  };
  for (const plot of document.querySelectorAll('.plot')) {
    const title = plot.closest('figure').querySelector('h2').textContent, boxes = {};
    for (const [selector, group] of Object.entries(groups))
      for (const one of [...plot.querySelectorAll(selector)].filter(seen))
        (boxes[group(one)] ||= []).push(boxOf(one));
    for (const [group, all] of Object.entries(boxes))
      all.forEach((a, i) => all.slice(i + 1).filter(b => b.angle === a.angle).forEach(b => {
        const along = (a.width + b.width) / 2 - Math.abs(a.along - b.along);
        const across = (a.height + b.height) / 2 - Math.abs(a.across - b.across);
        if (along > 2 && across > 3) wrong.push(`${title}, ${group}: ${a.text} / ${b.text}`);
      }));
  }
  return wrong;
}"""

NARROW = """() => [...document.querySelectorAll('.plot')].flatMap(plot => {
  const title = plot.closest('figure').querySelector('h2').textContent;
  return plot.data.filter(trace => trace.type === 'heatmap').map(trace => {
    const { width } = plot.querySelector('.heatmaplayer').getBoundingClientRect();
    return { title, width: width / trace.x.length };
  });
}).filter(({ width }) => width < 6).map(({ title, width }) => `${title}: ${width} px a column`)"""
"""Columns of a matrix that are too narrow to be told apart."""

EMPTY = """() => {
  const boxes = [...document.querySelectorAll('figure')].map(one => one.getBoundingClientRect());
  const all = document.querySelector('.figures').getBoundingClientRect();
  const lines = {};
  for (const { top, width } of boxes)
    lines[Math.round(top)] = (lines[Math.round(top)] || 0) + width;
  return Object.values(lines).filter(width => width < all.width * 0.9).length;
}"""

HALF = """() => ['Optimization history', 'Learning curves'].flatMap(title => {
  const figure = [...document.querySelectorAll('figure')].find(
    one => one.querySelector('h2').textContent === title);
  return [...figure.querySelectorAll('.xtick text')].map(one => one.textContent);
}).filter(text => text.includes('.'))"""

SHARES = """() => [...document.querySelectorAll('.plot .ytick text, .plot .xtick text')]
  .map(one => one.textContent).filter(text => text.endsWith('%'))
  .filter(text => Math.abs(parseFloat(text.replace('−', '-')) - 50) > 52)"""


def made(classes: int, trials: int) -> SearchResults:
    names = LONG if classes == 100 else [f"class {number}" for number in range(classes)]
    results = results_of(dataset_of(names, images=4), trials, *SPACE)
    labels, draw = results.dataset.test.labels, torch.Generator().manual_seed(1)
    noise = torch.randn(len(labels), classes, generator=draw)
    test = Predictions(torch.nn.functional.one_hot(labels, classes) * 3 + noise, labels)
    done = [log for log in results.trials if log.state.name == "COMPLETE"]
    finalists = tuple(Finalist(log, runs=[log, done[-1]]) for log in done[:2])
    return replace(results, test=test, finalists=finalists, number=3, latency=0.01)


def faults(view: Page, width: int) -> dict[str, Any]:
    """What is wrong with a page, by what was looked at."""
    found = {
        "overlapping labels": view.evaluate(OVERLAPS),
        "narrow columns": view.evaluate(NARROW),
        "lines with an empty place": view.evaluate(EMPTY),
        "half trials and epochs": view.evaluate(HALF),
        "shares that are none": view.evaluate(SHARES),
        "wider than the page": max(
            0, view.evaluate("document.documentElement.scrollWidth") - width
        ),
    }
    return {what: value for what, value in found.items() if value}


def check(path: Path, browser: Browser, size: tuple[int, int], scheme: str, trials: int) -> None:
    view, wrong = opened(browser, path, size, scheme)
    assert wrong == []
    assert faults(view, size[0]) == {}
    assert view.locator("#trials tbody tr").count() == trials
    view.context.close()


@pytest.mark.slow
def test_on_a_phone_everything_can_be_read(tmp_path: Path, browser: Browser) -> None:
    path, *_ = write_report(made(10, 4), tmp_path)
    check(path, browser, PHONE, "dark", 4)


@pytest.mark.nightly
@pytest.mark.parametrize(("classes", "trials"), [(2, 200), (10, 20), (100, 3)])
def test_everywhere_everything_can_be_read(
    classes: int, trials: int, tmp_path: Path, browser: Browser
) -> None:
    """No figure is drawn both of the classes and of the trials, and no place is by the scheme."""
    path, *_ = write_report(made(classes, trials), tmp_path)
    assert path.stat().st_size < 8_000_000
    for size, scheme in ((WIDE, "light"), (LAPTOP, "dark"), (PHONE, "light")):
        check(path, browser, size, scheme, trials)


@pytest.mark.slow
def test_a_figure_without_room_is_found(tmp_path: Path, browser: Browser) -> None:
    path, *_ = write_report(made(30, 3), tmp_path)
    view, _ = opened(browser, path, LAPTOP)
    assert faults(view, LAPTOP[0]) == {}
    view.evaluate(
        "Promise.all([...document.querySelectorAll('.plot')]"
        ".map(plot => Plotly.relayout(plot, { width: 260, height: 90 })))"
    )
    found = faults(view, LAPTOP[0])
    assert any(line.startswith("Confusion: ") for line in found["narrow columns"])
    overlaps = found["overlapping labels"]
    assert "Precision and recall, xtick: class 3 / class 4" in overlaps, "upright"
    assert any(line.startswith("Parallel coordinates, annotations: ") for line in overlaps)
    view.context.close()


@pytest.mark.slow
def test_where_nothing_hovers_no_toolbar_lies_on_the_legend(
    tmp_path: Path, browser: Browser
) -> None:
    path, *_ = write_report(made(2, 3), tmp_path)
    context = browser.new_context(
        has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844}
    )
    view = context.new_page()
    view.goto(path.as_uri())
    view.wait_for_selector(".plot .main-svg")
    assert view.locator(".modebar").count() == 0
    context.close()
