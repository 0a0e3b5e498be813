"""The page as its visitor sees it: a real server and a real browser."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import urllib.request
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from streamlit.testing.v1 import AppTest

from tests.helpers.commands import DIGITS, REPOSITORY, SMALL, user_environment
from tests.helpers.images import bomb
from tests.helpers.pages import LAPTOP, SCREENS
from tests.helpers.processes import free_port, running, wait_until
from tests.helpers.searches import FinishedSearch
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.decoding.image_file import MAX_BYTES
from trainable.inference.classifier import Classifier
from tune.config.loading import load_config
from tune.models.lookup import find_version, load_registered

APP = REPOSITORY / "tune" / "app.py"
NAME = "resnet18-digits"
BARS = 3
"""Of a card."""

expect.set_options(timeout=120_000)


@dataclass(frozen=True)
class Served:
    """A server of the page.

    Attributes:
        url: Of the page.
        process: Of the server.
        folder: Its working directory.
    """

    url: str
    process: subprocess.Popen[str]
    folder: Path


@contextmanager
def served_in(folder: Path) -> Iterator[Served]:
    """Serve the page in a folder, with no option but its port."""
    port = free_port()
    environment = {
        **user_environment(),
        "HOME": str(folder),
        "STREAMLIT_SERVER_HEADLESS": "true",  # opens no browser of its own
    }
    script = [sys.executable, "-m", "tune.app", f"--port={port}"]  # runs `streamlit run`
    with running(script, cwd=folder, env=environment, stderr=subprocess.STDOUT) as process:
        try:
            wait_until(lambda: process.poll() is not None or answers(port))
            yield Served(f"http://127.0.0.1:{port}", process, folder)
        finally:
            process.terminate()
            output, _ = process.communicate(timeout=30)
    assert "Traceback" not in output, output


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def served(
    finished_search: FinishedSearch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """Serves the finished search, with a second version that is not the champion."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(finished_search.folder / "mlflow.db", folder)
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    source = client.get_model_version_download_uri(NAME, "1")
    client.create_model_version(NAME, source, tags={"test_acc": "0.5"})
    with served_in(folder) as server:
        yield server


@pytest.fixture(scope="module")
def classifier(finished_search: FinishedSearch) -> Classifier:
    client = finished_search.client
    return load_registered(client, find_version(client, f"models:/{NAME}@champion"))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(load_config(DIGITS, SMALL).data)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page in a browser that notes what is wrong with it, and who is asked for anything."""
    wrong: list[str] = []
    contexts = []

    def opened(url: str, size: tuple[int, int] = LAPTOP, scheme: str = "light") -> Page:
        width, height = size
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        contexts.append(context)
        view = context.new_page()
        view.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        view.on("pageerror", lambda error: wrong.append(str(error)))
        view.on(
            "request", lambda asked: None if is_own(asked.url, url) else wrong.append(asked.url)
        )
        view.on(
            "websocket", lambda asked: None if is_own(asked.url, url) else wrong.append(asked.url)
        )
        view.goto(url)
        expect(view.get_by_role("heading", name="Try a model")).to_be_visible()
        return view

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def is_own(url: str, page: str) -> bool:
    return url.startswith((page, page.replace("http", "ws"), "data:", "blob:"))


def upload(view: Page, *paths: Path) -> None:
    view.locator("input[type=file]").set_input_files(list(paths))


def written(dataset: Dataset, number: int, folder: Path) -> Path:
    """A test image as a PNG file."""
    path = folder / f"digit-{number}.png"
    Image.fromarray(dataset.test.images[number].permute(1, 2, 0).numpy()).save(path)
    return path


def expected(classifier: Classifier, dataset: Dataset, number: int) -> list[str]:
    """The answers as the page tells them, the likeliest first."""
    (row,) = classifier.probabilities(dataset.test.images[number : number + 1])
    best = (-row).argsort(kind="stable")[:BARS]
    return [f"{classifier.spec.classes[index]} · {row[index]:.1%}" for index in best]


def told(view: Page, card: int = 0) -> list[str]:
    """What a card answers, once it does."""
    bars = view.get_by_test_id("stProgress")
    expect(bars.nth(BARS * card + BARS - 1)).to_be_visible()
    return [bars.nth(BARS * card + index).inner_text().strip() for index in range(BARS)]


@pytest.mark.slow
def test_an_uploaded_digit_gets_the_models_answers(
    served: Served,
    visit: Callable[..., Page],
    classifier: Classifier,
    dataset: Dataset,
    tmp_path: Path,
) -> None:
    view = visit(served.url)
    upload(view, written(dataset, 4, tmp_path))
    assert told(view) == expected(classifier, dataset, 4)
    expect(view.get_by_test_id("stImage")).to_have_count(2)
    upload(view, written(dataset, 5, tmp_path))
    assert told(view, card=1) == expected(classifier, dataset, 5)
    expect(view.get_by_test_id("stImage")).to_have_count(4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"these are words", "it is broken, or none of JPEG, PNG"),
        (b64decode(bomb(9_000, 10_000)), "it has 90,000,000 pixels, and more than 80,000,000"),
    ],
    ids=["text", "bomb"],
)
def test_what_is_no_image_is_told_in_a_sentence(
    content: bytes,
    sentence: str,
    served: Served,
    visit: Callable[..., Page],
    dataset: Dataset,
    tmp_path: Path,
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(content)
    view = visit(served.url)
    upload(view, bad, written(dataset, 4, tmp_path))
    alert = view.get_by_test_id("stAlert")
    expect(alert).to_contain_text("bad.png cannot be read as an image")
    expect(alert).to_contain_text(sentence)
    assert len(told(view)) == BARS, "the other one is shown"
    expect(view.get_by_test_id("stException")).to_have_count(0)


@pytest.mark.slow
def test_a_file_that_is_too_large_is_not_even_sent(
    served: Served, visit: Callable[..., Page], tmp_path: Path
) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    view = visit(served.url)
    upload(view, path)
    expect(view.get_by_text("File must be 64.0MB or smaller")).to_be_visible()


@pytest.mark.slow
def test_the_champion_is_chosen_and_says_so(served: Served, visit: Callable[..., Page]) -> None:
    view = visit(served.url)
    model, version = (view.get_by_role("combobox").nth(number) for number in range(2))
    expect(model).to_have_value(NAME)
    expect(version).to_have_value("1 (champion)")
    expect(view.locator(".stMarkdownBadge")).to_contain_text("champion")
    version.click()
    view.get_by_role("option", name="2", exact=True).click()
    expect(view.get_by_text("test accuracy 50.00%")).to_be_visible()
    expect(view.locator(".stMarkdownBadge")).to_have_count(0)


@pytest.mark.slow
def test_test_images_are_answered_and_compared_with_the_truth(
    served: Served, visit: Callable[..., Page], classifier: Classifier, dataset: Dataset
) -> None:
    view = visit(served.url)
    view.get_by_text("At random").click()
    told(view, card=5)
    names = view.get_by_text(re.compile(r"^Test image \d+$")).all_inner_texts()
    assert len(names) == 6
    for card, name in enumerate(names):
        number = int(name.removeprefix("Test image "))
        answers = expected(classifier, dataset, number)
        assert told(view, card) == answers
        truth = dataset.classes[int(dataset.test.labels[number])]
        badge = view.locator(".stMarkdownBadge").nth(card + 1).inner_text()
        assert badge == ("right" if answers[0].startswith(truth) else f"it is {truth}")
    view.get_by_role("button", name="Show others").click()
    expect(view.get_by_text(names[0], exact=True)).to_have_count(0)


@pytest.mark.slow
def test_its_mistakes_are_shown_with_what_they_are(
    served: Served, visit: Callable[..., Page], classifier: Classifier, dataset: Dataset
) -> None:
    probabilities = classifier.probabilities(dataset.test.images)
    wrong = probabilities.argmax(axis=1) != dataset.test.labels.numpy()
    most_confident = (probabilities.max(axis=1) * wrong).argsort(kind="stable")[::-1]
    view = visit(served.url)
    view.get_by_text("Its mistakes").click()
    told(view, card=1)
    names = view.get_by_text(re.compile(r"^Test image \d+$")).all_inner_texts()
    assert names[:2] == [f"Test image {number}" for number in most_confident[:2]]
    badge = view.locator(".stMarkdownBadge").nth(1).inner_text()
    assert badge == f"it is {dataset.classes[int(dataset.test.labels[most_confident[0]])]}"
    expect(view.get_by_role("button", name="Show others")).to_have_count(0)


@pytest.mark.slow
def test_its_search_shows_every_trial_and_the_confusion(
    served: Served, visit: Callable[..., Page]
) -> None:
    view = visit(served.url)
    view.get_by_role("tab", name="Its search").click()
    expect(view.get_by_role("heading", name="Learning curves of 5 trials")).to_be_visible()
    expect(
        view.get_by_role("heading", name=re.compile(r"Confusion on \d+ test images"))
    ).to_be_visible()
    expect(view.locator(".scatterlayer .trace")).to_have_count(5)
    expect(view.locator(".heatmaplayer .hm")).to_have_count(1)


@pytest.mark.slow
def test_a_version_without_a_record_is_still_tried(
    served: Served, visit: Callable[..., Page], dataset: Dataset, tmp_path: Path
) -> None:
    view = visit(served.url)
    view.get_by_role("combobox").nth(1).click()
    view.get_by_role("option", name="2", exact=True).click()
    upload(view, written(dataset, 4, tmp_path))
    assert len(told(view)) == BARS
    view.get_by_role("tab", name="Its search").click()
    sentence = "resnet18-digits version 2: it comes from no recorded search"
    expect(view.get_by_text(sentence)).to_be_visible()


@pytest.mark.slow
@pytest.mark.parametrize(("size", "scheme"), SCREENS)
def test_it_fits_the_screen_and_follows_its_colours(
    size: tuple[int, int], scheme: str, served: Served, visit: Callable[..., Page]
) -> None:
    view = visit(served.url, size, scheme)
    view.get_by_text("At random").click()
    told(view, card=5)
    pictures = view.get_by_test_id("stImage")
    boxes = [box for picture in pictures.all() if (box := picture.bounding_box())]
    assert len(boxes) == 12
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= size[0] for box in boxes)
    assert boxes[0]["y"] == boxes[1]["y"], "a picture and its heat stand side by side"
    colour = view.evaluate(
        "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
    )
    assert (colour == "rgb(255, 255, 255)") == (scheme == "light"), colour


@pytest.mark.slow
def test_it_listens_on_loopback_alone(served: Served) -> None:
    server = psutil.Process(served.process.pid)
    listening = [
        connection.laddr.ip
        for process in [server, *server.children(recursive=True)]
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost", "http://localhost", 101),
        ("127.0.0.1", "http://127.0.0.1", 101),
        ("rebound.example", "http://rebound.example", 403),
        ("127.0.0.1.rebound.example", None, 403),
        ("localhost", "http://other.example", 403),
    ],
)
def test_its_connection_is_given_to_two_names_alone(
    host: str, origin: str | None, status: int, served: Served
) -> None:
    port = int(served.url.rpartition(":")[2])
    headers = {
        "Host": f"{host}:{port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
    }
    if origin is not None:
        headers["Origin"] = f"{origin}:{port}"
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/_stcore/stream", headers=headers)
    with closing(connection):
        assert connection.getresponse().status == status


@pytest.mark.slow
def test_where_no_model_is_registered_it_says_what_makes_one(
    tmp_path: Path, visit: Callable[..., Page]
) -> None:
    with served_in(tmp_path) as server:
        view = visit(server.url)
        expect(view.get_by_text("No model is registered here yet")).to_be_visible()
        expect(view.get_by_text("resnet-tune search")).to_be_visible()
        view.close()  # else it would miss its server
    assert list(tmp_path.glob("mlflow.db*")) == []


def test_a_record_that_is_away_is_told(in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    page = AppTest.from_file(str(APP)).run(timeout=30)
    assert "the server does not answer" in page.error[0].value
    assert not page.exception
