"""`import tune` in a script without a main guard: twice, interrupted, and beside a Ray."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.commands import REPOSITORY, user_environment

SMALL = """
import logging, os, signal, threading, time
from pathlib import Path

import tune

small = dict(
    data={"image_size": 16, "limit": 300},
    model={"weights": "random"},
    train={"epochs": 3, "batch_size": 64},
    confirm={"top_k": 0},
    resources={"max_concurrent": 1},
)
"""

TWICE = """
handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
first = tune.run(num_samples=2, search_name="first", **small)
second = tune.run(num_samples=1, search_name="second", show_progress=False, **small)
assert {number: signal.getsignal(number) for number in handlers} == handlers
assert logging.getLogger().handlers == []
import mlflow
import ray

assert not ray.is_initialized()
assert mlflow.active_run() is None
assert [each.state for each in tune.searches()] == ["finished", "finished"]
print(len(first.trials), len(second.trials), second.model_name, first.report)
longer = tune.resume("second", num_samples=2, show_progress=False)
print(list(longer.trials["state"]))
from PIL import Image

told = longer.model.predict([Image.new("RGB", (8, 8))])
print(len(told), told[0].label in longer.model.classes)
"""

BESIDE = """
import ray

ray.init(num_cpus=2, include_dashboard=False)
counter = ray.remote(lambda number: number + 1)


def interrupt_at_the_first_epoch():
    folder = Path("mlruns/searches/first")
    while not list(folder.glob("trial-*/last.pt")):
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)


threading.Thread(target=interrupt_at_the_first_epoch, daemon=True).start()
try:
    small["train"] = {"epochs": 20, "batch_size": 16}
    tune.run(num_samples=2, search_name="first", **small)
except KeyboardInterrupt:
    print("interrupted")
assert ray.get(counter.remote(1)) == 2
assert [each.state for each in tune.searches()] == ["unfinished"]
result = tune.resume("first", show_progress=False)
print(len(result.trials), result.unfinished)
assert ray.get(counter.remote(2)) == 3
"""


LOST = """
import ray

from tune.study.folder import SearchFolder

lock = SearchFolder.lock


def losing(home, patience=0.0, on_loss=None):
    lock(home, patience, on_loss)
    threading.Thread(target=lose, args=[on_loss], daemon=True).start()


def lose(on_loss):
    while not ray.is_initialized():
        time.sleep(0.1)
    time.sleep(1)
    on_loss("another process")


SearchFolder.lock = losing
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as under nohup
for begin in (
    lambda: tune.run(num_samples=9, search_name="first", show_progress=False, **small),
    lambda: tune.resume("first", show_progress=False),
):
    try:
        begin()
    except tune.SearchStoppedError as error:
        print(error)
    assert not ray.is_initialized()
print([each.state for each in tune.searches()])
"""


def run(script: str, folder: Path, given: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(script)
    return subprocess.run(
        [sys.executable, "script.py"],
        input=given,
        cwd=folder,
        env={**user_environment(), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.slow
def test_a_script_searches_twice_and_leaves_its_process_as_it_was(tmp_path: Path) -> None:
    done = run(SMALL + TWICE, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Registered resnet18-digits version 1, alias champion" in done.stdout
    words = done.stdout.splitlines()[-3:]
    assert re.fullmatch(r"2 1 models:/resnet18-digits/2 .*/first/report\.html", words[0])
    assert words[1].count("'") == 4
    assert words[2] == "1 True"
    assert done.stderr == ""


@pytest.mark.nightly
def test_beside_a_ray_of_ones_own_it_is_interrupted_and_goes_on(tmp_path: Path) -> None:
    done = run(SMALL + BESIDE, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-2:] == ["interrupted", "2 "]


@pytest.mark.slow
def test_a_search_that_another_process_takes_over_ends_and_its_script_goes_on(
    tmp_path: Path,
) -> None:
    done = run(SMALL + LOST, tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    told = "interrupted by another process; go on with: tune.resume('first')"
    assert done.stdout.splitlines() == [told, told, "['unfinished']"]


AS_A_KERNEL = """
import ast, asyncio, json, sys


def show(value):
    if value is None:
        return
    rich = getattr(value, "_repr_html_", None)
    print(repr(value) if rich is None else rich())


async def kernel(cells):
    space = {"__name__": "__main__"}
    for cell in cells:
        body = ast.parse(cell).body
        last = body.pop() if isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), "cell", "exec"), space)
        if last is not None:
            show(eval(compile(ast.Expression(last.value), "cell", "eval"), space))


asyncio.run(kernel(json.loads(sys.stdin.read())))
"""
"""What ipykernel, which is no dependency, does with a notebook's cells: it runs them in a thread
that has a running event loop, one by one, and shows what the last expression of each is."""


@pytest.mark.nightly
def test_the_notebook_runs_from_its_first_cell_to_its_last(tmp_path: Path) -> None:
    notebook = json.loads((REPOSITORY / "docs" / "notebook.ipynb").read_text())
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert all(not c.get("outputs") for c in notebook["cells"])
    assert "tune.run(" in cells[1]
    content = json.dumps(cells)
    for whole, few in (("num_samples=6,", "num_samples=2,"), ("num_samples=8)", "num_samples=3)")):
        assert whole in content  # as a reader runs it; here are fewer trials of the same
        content = content.replace(whole, few)
    done = run(AS_A_KERNEL, tmp_path, content)
    assert done.returncode == 0, done.stdout + done.stderr
    ends = re.findall(r"^trial +(\d) (?:complete|pruned) +val_acc=", done.stdout, re.MULTILINE)
    assert sorted(ends) == ["0", "1", "2"], "each is said as it ends"
    table = done.stdout.index("<table")  # of the trials, as pandas shows it
    assert done.stdout.index("Registered resnet18-digits version 1") < table
    told = re.findall(r"^(\d) (\d) \d+\.\d%$", done.stdout, re.MULTILINE)
    assert len(told) == 5
    assert sum(truth == label for truth, label in told) >= 4
    assert re.search(r"^3 /.*/report\.html$", done.stdout, re.MULTILINE)
