"""The champion behind MLflow's own server, started and asked as a user does."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tests.helpers.commands import REPOSITORY, user_environment
from tests.helpers.images import bomb
from tests.helpers.lacking import lacking
from tests.helpers.processes import family, free_port, listening, run, running, wait_until
from tests.helpers.searches import FinishedSearch

pytestmark = pytest.mark.slow

MODEL = "models:/resnet18-digits@champion"
JSON = "application/json"


def environment() -> dict[str, str]:
    """A user's, with the virtual environment activated, and nothing of this repository."""
    variables = user_environment()
    del variables["PYTHONPATH"]
    variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), variables["PATH"]])
    return variables


class Server:
    """A server that is running."""

    def __init__(self, port: int, pid: int) -> None:
        self.port, self.pid = port, pid

    def ask(self, body: str | bytes, kind: str = JSON) -> tuple[int, dict[str, Any]]:
        """The status and the body of an answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/invocations",
            body.encode() if isinstance(body, str) else body,
            {"Content-Type": kind},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def label(self, *images: str) -> list[dict[str, Any]]:
        """The answers for images, which must be right in form."""
        status, told = self.ask(json.dumps({"dataframe_records": [{"image": i} for i in images]}))
        assert status == 200, told
        predictions: list[dict[str, Any]] = told["predictions"]
        return predictions

    def is_up(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping"):
            return True
        return False


@pytest.fixture(scope="module")
def server(finished_search: FinishedSearch) -> Iterator[Server]:
    port = free_port()
    words = ["mlflow", "models", "serve", "-m", MODEL, "--env-manager", "local", "-p", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with running(words, cwd=finished_search.folder, env=environment(), **quiet) as process:
        server = Server(port, process.pid)
        wait_until(server.is_up, by=process)
        yield server


def base64_of(image: Image.Image, kind: str = "png") -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture(scope="module")
def digits() -> list[str]:
    """Twelve digits."""
    images = load_digits().images[:12]
    return [base64_of(Image.fromarray((pixels * 255 / 16).astype(np.uint8))) for pixels in images]


@pytest.fixture(scope="module")
def expected(finished_search: FinishedSearch, digits: list[str]) -> pd.DataFrame:
    """The answers of the model, asked from Python."""
    (path,) = finished_search.folder.glob("mlruns/*/models/*/artifacts")
    answers = mlflow.pyfunc.load_model(str(path)).predict(pd.DataFrame({"image": digits}))
    assert isinstance(answers, pd.DataFrame)
    return answers


def assert_same(answers: list[dict[str, Any]], expected: pd.DataFrame) -> None:
    assert [answer["label"] for answer in answers] == expected["label"].tolist()
    for answer, row in zip(answers, expected.to_dict("records"), strict=True):
        assert list(answer) == list(row)
        assert answer["probability"] == pytest.approx(row["probability"], abs=1e-5)
        assert answer["unsure"] == row["unsure"]


@pytest.mark.nightly
def test_one_image_and_a_batch_are_answered_as_from_python(
    server: Server, digits: list[str], expected: pd.DataFrame
) -> None:
    columns = ["label", "probability", "unsure", *(f"p_{digit}" for digit in range(10))]
    assert list(expected) == columns
    assert expected["unsure"].dtype == bool
    assert_same(server.label(digits[3]), expected[3:4])
    assert_same(server.label(*digits), expected)


@pytest.mark.parametrize("form", ["split", "instances", "inputs", "csv"])
def test_every_form_of_mlflows_is_understood(
    form: str, server: Server, digits: list[str], expected: pd.DataFrame
) -> None:
    bodies: dict[str, Any] = {
        "split": {"dataframe_split": {"columns": ["image"], "data": [[i] for i in digits]}},
        "instances": {"instances": [{"image": i} for i in digits]},
        "inputs": {"inputs": [{"image": i} for i in digits]},
    }
    if form == "csv":
        status, told = server.ask("\n".join(["image", *digits]), "text/csv")
    else:
        status, told = server.ask(json.dumps(bodies[form]))
    assert status == 200, told
    assert_same(told["predictions"], expected)


def test_photographs_of_any_size_and_kind_are_taken(server: Server) -> None:
    gradient = Image.linear_gradient("L").resize((640, 480))
    kinds = [base64_of(gradient.convert("RGB"), kind) for kind in ("jpeg", "webp", "png")]
    answers = server.label(*kinds, base64_of(gradient.convert("RGBA")), base64_of(gradient))
    assert len(answers) == 5
    assert answers[2]["probability"] == pytest.approx(answers[4]["probability"], abs=1e-5)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of 3 MB as `photo.jpg`, and it and a small one in `pictures`."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "pictures").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1900, 3), np.uint8)
    Image.fromarray(noise).save(folder / "photo.jpg", quality=95)
    assert 3_000_000 < (folder / "photo.jpg").stat().st_size < 4_000_000
    (folder / "pictures" / "a b.jpg").hardlink_to(folder / "photo.jpg")
    Image.linear_gradient("L").save(folder / "pictures" / "small.png")
    return folder


def documented_commands() -> list[str]:
    """The commands of docs/serving.md that send images."""
    text = (REPOSITORY / "docs" / "serving.md").read_text()
    return [block for block in re.findall(r"```\n(.*?)```", text, re.DOTALL) if "curl" in block]


def test_the_documented_commands_send_a_photograph_of_3_mb(
    server: Server, photographs: Path
) -> None:
    if shutil.which("curl") is None or shutil.which("jq") is None:
        lacking("the documented commands need curl and jq")
    image = base64.b64encode((photographs / "photo.jpg").read_bytes()).decode()
    (expected,) = server.label(image)
    counts = []
    for command in documented_commands():
        script = command.replace("127.0.0.1:5000", f"127.0.0.1:{server.port}")
        done = run(["sh", "-c", script], cwd=photographs, env=environment())
        answers = json.loads(done.stdout)["predictions"]
        assert answers[0] == pytest.approx(expected, abs=1e-5), command
        counts.append(len(answers))
    assert counts == [1, 1, 2]


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "application/octet-stream"])
def test_a_file_is_taken_as_it_is(
    kind: str, server: Server, digits: list[str], expected: pd.DataFrame
) -> None:
    status, told = server.ask(base64.b64decode(digits[3]), kind)
    assert status == 200, told
    assert_same(told["predictions"], expected[3:4])


@pytest.mark.parametrize("body", [b"", b"these are words", base64.b64decode(bomb(50_000, 40_000))])
def test_a_file_that_is_no_image_is_told_so(body: bytes, server: Server) -> None:
    status, told = server.ask(body, "image/png")
    assert status == 400
    assert told["message"].startswith("row 0: the upload cannot be read as an image")
    assert "Traceback" not in json.dumps(told)


def test_many_images_are_answered_as_one_by_one(
    server: Server, digits: list[str], expected: pd.DataFrame
) -> None:
    assert_same(server.label(*digits * 25), pd.concat([expected] * 25))


def test_clients_that_ask_at_once_get_their_own_answers(
    server: Server, digits: list[str], expected: pd.DataFrame
) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(server.label, digits * 4))
    assert_same([answer for (answer,) in answers], pd.concat([expected] * 4))


def records(*images: object) -> str:
    return json.dumps({"dataframe_records": [{"image": image} for image in images]})


WORDS = base64.b64encode(b"these are words").decode()
MALFORMED: dict[str, tuple[str | bytes, str]] = {
    "no image": (records(WORDS), "row 0: the upload cannot be read as an image"),
    "empty file": (records(""), "row 0: the upload cannot be read as an image"),
    "cut short": (records(WORDS[:7]), "row 0: image is not base64 text"),
    "no base64": (records("seven.png"), "row 0: image is not base64 text"),
    "a data URL": (records(f"data:image/png;base64,{WORDS}"), "row 0: image is not base64 text"),
    "no ASCII": (records("sieben\u00fc\ud83d\ude00"), "row 0: image is not base64 text"),
    "null": (records(None), "image"),
    "too large": (records(bomb(9_000, 10_000)), "90,000,000 pixels, and more than 80,000,000"),
    "a bomb": (records(bomb(50_000, 40_000)), "could be decompression bomb"),
    "no rows": (records(), "image"),
    "no values": (
        json.dumps({"dataframe_split": {"columns": ["image"], "data": []}}),
        "there is no image",
    ),
    "another column": (json.dumps({"dataframe_records": [{"picture": WORDS}]}), "image"),
    "numbers": (records(7), "image"),
    "a list": (records([WORDS]), "image"),
    "no object": (json.dumps([WORDS]), "list"),
    "no known key": (json.dumps({"image": WORDS}), "dataframe_records"),
    "deep JSON": (200_000 * "[" + 200_000 * "]", "the JSON is nested too deep"),
    "rather deep JSON": ('{"inputs": ' + 900 * "[" + 900 * "]" + "}", ""),
    "broken JSON": ('{"dataframe_records": [', "JSON"),
    "nothing": ("", "JSON"),
    "no UTF-8": (b'{"dataframe_records": "\xff"}', "JSON"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_is_told_what_is_wrong(name: str, server: Server) -> None:
    body, words = MALFORMED[name]
    status, told = server.ask(body)
    assert status == 400, told
    assert words in told["message"]
    assert "Traceback" not in json.dumps(told)


def test_the_row_that_is_wrong_is_named_and_what_was_sent_is_not_sent_back(
    server: Server, digits: list[str]
) -> None:
    body = json.dumps({"inputs": [{"image": i} for i in [*digits, WORDS]]})
    status, told = server.ask(body)
    assert status == 400
    assert told["message"].startswith("row 12: the upload cannot be read as an image")
    assert digits[0][:40] not in json.dumps(told)


def memory_of(pid: int) -> int:
    """The greatest memory that the processes of a server have had at once, at least, in MB."""
    peaks = [
        re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{each.pid}/status").read_text())
        for each in family(pid)
    ]
    return sum(int(peak[1]) for peak in peaks if peak) // 1024


def test_twelve_of_the_largest_images_at_once_take_little_memory(server: Server) -> None:
    image = base64_of(Image.new("1", (8900, 8900)))
    assert server.label(image)
    before = memory_of(server.pid)
    with ThreadPoolExecutor(12) as pool:
        assert len(list(pool.map(server.label, 12 * [image]))) == 12
    assert memory_of(server.pid) - before < 150


def test_another_content_type_is_refused(server: Server) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/invocations", b"x=1")
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=60)
    with error.value:
        assert error.value.code == 415


def test_it_listens_on_loopback_alone(server: Server) -> None:
    assert [address for address in listening(family(server.pid)) if not address.is_loopback] == []


@pytest.mark.nightly
def test_predict_labels_a_file_of_images(
    finished_search: FinishedSearch, digits: list[str], expected: pd.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "images.json"
    path.write_text(json.dumps({"dataframe_records": [{"image": i} for i in digits]}))
    words = ["mlflow", "models", "predict", "-m", MODEL, "--env-manager", "local", "-i", str(path)]
    done = run(words, cwd=finished_search.folder, env=environment())
    assert done.returncode == 0, done.stderr
    assert_same(json.loads(done.stdout)["predictions"], expected)
