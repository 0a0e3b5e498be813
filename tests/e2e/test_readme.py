"""The commands of README and docs/ as a newcomer types them, beside what they really print."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from tests.helpers import processes
from tests.helpers.commands import REPOSITORY, user_environment
from tests.helpers.doors import invoke
from tests.helpers.networks import random_state
from tests.helpers.processes import free_port, running, wait_until
from tests.helpers.searches import FinishedSearch
from tests.helpers.wheels import Installed
from tune.config.loading import load_config

README = (REPOSITORY / "README.md").read_text()
DOCS = {path: path.read_text() for path in sorted((REPOSITORY / "docs").glob("*.md"))}
PAGES = {REPOSITORY / "README.md": README, **DOCS}
SMALL = (
    "--num-samples=2",
    "data.image_size=32",
    "train.epochs=1",
    "confirm.top_k=0",
    "resources.max_concurrent=1",
)
"""Added to the commands that take minutes."""

PORT_WORD = "-p"


def blocks(section: str, page: str = README) -> list[list[str]]:
    """The lines of each fenced block of a section."""
    found = re.search(rf"^##? {section}\n(.*?)(?=^##? |\Z)", page, re.DOTALL | re.MULTILINE)
    assert found is not None, section
    return [block.splitlines() for block in re.findall(r"```\w*\n(.*?)```", found[1], re.DOTALL)]


def sessions(lines: list[str]) -> list[tuple[str, list[str]]]:
    """The commands of a block, each with the output that follows it."""
    found: list[tuple[str, list[str]]] = []
    for is_command, group in groupby(lines, lambda line: line.startswith("$ ")):
        if is_command:
            found += [(line.removeprefix("$ "), []) for line in group]
        elif found:
            found[-1][1].extend(group)
    return found


def all_sessions() -> list[tuple[str, list[str]]]:
    fenced = re.findall(r"```\n(\$ .*?)```", "\n".join(PAGES.values()), re.DOTALL)
    found = [session for block in fenced for session in sessions(block.splitlines())]
    return [each for place, each in enumerate(found) if each not in found[:place]]


def masked(line: str) -> str:
    """A line without what the tests have otherwise: numbers, weights, and the values that won."""
    line = re.sub(r" = \S+$", " = #", line.rstrip().removesuffix(" (unsure)"))
    line = re.sub(r"^  model  .+$", "  model #", line)
    line = re.sub(r"^(weights +)\w+$", r"\1#", line)
    line = re.sub(r"digits-\d{8}-\d{6}|\bfirst\b", "NAME", line)
    line = re.sub(r"^cpu, (fp32|bf16),", "cpu, PRECISION,", line)  # as the processor has it
    return re.sub(r" +", " ", re.sub(r"\d[\d.,e+-]*", "#", line))


def environment(home: Path) -> dict[str, str]:
    """A user's, with the virtual environment activated and torchvision's weights at hand."""
    variables = user_environment()
    variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), variables["PATH"]])
    return {**variables, "TORCH_HOME": str(home / "torch")}


@pytest.fixture(scope="module")
def own_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a newcomer is: in a folder that holds photographs, and no checkout."""
    folder = tmp_path_factory.mktemp("newcomer")
    draw = np.random.default_rng(0)
    for label, name in enumerate(("ants", "bees")):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(12):
            pixels = draw.integers(128 * label, 128 * label + 128, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{number}.jpg")
    shutil.copy(folder / "photos" / "bees" / "0.jpg", folder / "new.jpg")
    weights = folder / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    weights.parent.mkdir(parents=True)
    torch.save(random_state(), weights)
    return folder


@pytest.mark.slow
def test_own_images_come_to_a_served_model_in_four_commands(
    own_images: Path, installed: Installed
) -> None:
    activate, search, predict, serve = blocks("Your own images")[0]
    assert activate == "source .venv/bin/activate"
    variables = {**installed.environment, "TORCH_HOME": str(own_images / "torch")}
    run = partial(processes.run, cwd=own_images, env=variables)
    done = run([*shlex.split(search), *SMALL])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resume   resnet-tune search --resume photos-" in done.stdout
    assert "Registered resnet18-photos version 1, alias champion" in done.stdout
    done = run(shlex.split(predict))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"new\.jpg: (ants|bees) \d+\.\d\d%\n", done.stdout)
    assert answers_a_ping(serve, own_images, variables)


def answers_a_ping(serve: str, folder: Path, variables: dict[str, str]) -> bool:
    port = free_port()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    words = [*shlex.split(serve), PORT_WORD, str(port)]

    def is_up() -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ping"):
            return True
        return False

    with running(words, cwd=folder, env=variables, **quiet) as server:
        wait_until(lambda: is_up() or server.poll() is not None)
        return is_up()


@pytest.fixture(scope="module")
def searched(finished_search: FinishedSearch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which the digits were searched, with the picture of a seven."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "configs").symlink_to(REPOSITORY / "configs")
    shutil.copy(finished_search.folder / "mlflow.db", folder)
    shutil.copytree(finished_search.folder / "mlruns", folder / "mlruns")
    digits = load_digits()
    seven = digits.images[digits.target == 7][0]
    Image.fromarray((seven * 255 / 16).astype(np.uint8)).save(folder / "seven.png")
    return folder


@pytest.mark.parametrize(("command", "output"), all_sessions(), ids=lambda told: str(told)[:40])
def test_a_command_prints_what_is_written_below_it(
    command: str, output: list[str], searched: Path
) -> None:
    _, _, module, *words = shlex.split(re.sub(r"digits-\d{8}-\d{6}", "first", command))
    few = ["data.limit=300"] if module == "tune.debug" else []
    done = invoke(module, *words, *few, cwd=searched)
    assert done.returncode == (2 if "lrr" in command else 0), done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    printed = [line for line in lines if not (few and re.search("fewer than .* images", line))]
    assert [masked(line) for line in output] == [masked(line) for line in printed][: len(output)]
    assert len(output) in {0, len(printed)}


def test_the_search_prints_what_is_written(finished_search: FinishedSearch) -> None:
    _, written, *_ = blocks("Start")
    lines = finished_search.output.splitlines()
    # Whether seeds disagree depends on the images, of which the tests have few of each class.
    printed = [
        masked(line) for line in lines if not re.search("Seeds disagree|fewer than .* images", line)
    ]
    *parts, last = [
        [masked(line) for line in group]
        for is_gap, group in groupby(written, lambda line: line == "...")
        if not is_gap
    ]
    at = 0
    for part in parts:
        at = printed.index(part[0], at)
        assert printed[at : at + len(part)] == part
    assert printed[-len(last) :] == last


@pytest.mark.slow
def test_the_lines_of_python_label_a_picture(searched: Path) -> None:
    page = DOCS[REPOSITORY / "docs" / "models.md"]
    (lines,) = [block for block in blocks("Use the model", page) if "import base64" in block[0]]
    script = [sys.executable, "-c", "\n".join(lines)]
    done = processes.run(script, cwd=searched, env=environment(searched))
    assert done.returncode == 0, done.stderr
    assert re.search(r"label +probability\n0 +\d +\d\.\d+", done.stdout)


def mentioned() -> list[str]:
    """The commands in running text and in blocks that take a network or minutes."""
    text = re.sub(r"\bresnet-tune (?=[a-z]+\b)", "python -m tune.", "\n".join(PAGES.values()))
    text = re.sub(r" \\\n +", " ", text)  # a command may go on in the next line
    inline = re.findall(r"`(python -m tune\.[^`]+)`", text)
    listed = re.findall(r"^(python -m tune\.[^\n]+)$", text, re.MULTILINE)
    return sorted({*inline, *listed})


@pytest.mark.parametrize("command", mentioned())
def test_a_command_that_is_mentioned_has_these_options(command: str) -> None:
    _, _, module, *words = shlex.split(command)
    done = invoke(module, "--help", cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{option}\b", done.stdout), option
    if "--config" in words and "--print-config" not in words:
        config = Path(words[words.index("--config") + 1])
        load_config(config, [word for word in words if "=" in word and word[0] != "-"])


def test_every_target_that_is_mentioned_is_one_of_make() -> None:
    targets = set(re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(PAGES.values())
    named = set(re.findall(r"`make (\w+)|^make (\w+)", text, re.MULTILINE))
    assert {name for pair in named for name in pair if name} <= targets


def test_transcript_and_pictures_are_of_one_search() -> None:
    (name,) = set(re.findall(r"digits-\d{8}-\d{6}", "\n".join(PAGES.values())))
    for picture in ("report", "mlflow", "app"):
        with Image.open(REPOSITORY / "docs" / f"{picture}.png") as image:
            assert image.info["search"] == name, picture


def numbers(text: str) -> set[str]:
    """The numbers of a text, with what says of what they are: `trial 0`, `99.33%`, `183 s`."""
    return set(re.findall(r"(?:\btrial )?\d+(?:\.\d+)?(?:%| s\b)?", text))


def test_every_number_of_the_prose_stands_in_the_transcript_above() -> None:
    start = README.split("\n## Start\n")[1]
    _, _, _, transcript, after = start.split("```\n", 4)
    prose = after.split("\nThen `make ui`")[0]
    assert numbers(prose)
    assert numbers(prose) <= numbers(transcript)


def anchors(page: Path) -> set[str]:
    """What a link may name of a page: its headings, as GitHub writes them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


def test_every_file_and_every_heading_that_is_linked_is_there() -> None:
    seen = 0
    for page, text in PAGES.items():
        for link in re.findall(r"\]\(((?!https?:)[^)\s]+)\)", text):
            name, _, anchor = link.partition("#")
            to = page if not name else page.parent / name
            assert to.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in anchors(to), f"{page.name}: {link}"
            seen += 1
    assert seen > 50
