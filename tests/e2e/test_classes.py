"""A search of images whose classes are a thousand, some of them with unusual names."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.helpers.commands import run_module
from tests.helpers.doors import invoke
from tests.helpers.images import write_folders
from tests.helpers.names import NASTY
from tests.helpers.searches import FinishedSearch

WORDS = (
    *("--config", "image_folder", "--num-samples=2", "--name=first", "name=digits"),
    *("data.root=images", "data.image_size=16", "model.weights=random", "train.epochs=1"),
    *("space.augment.policy=[none]", "confirm.top_k=0", "resources.max_concurrent=1"),
)


@pytest.mark.nightly
def test_a_search_of_a_thousand_classes_some_with_unusual_names(tmp_path: Path) -> None:
    others = [f"class {number:04d}" for number in range(1000 - len(NASTY))]
    write_folders(tmp_path / "images", [*NASTY, *others], 8)
    done = run_module("tune.search", *WORDS, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "Registered resnet18-digits version 1, alias champion" in done.stdout

    search = FinishedSearch(tmp_path, done.stdout)
    client, (parent,) = search.client, search.runs("search")
    assert parent.info.status == "FINISHED"
    sizes = {file.path: file.file_size for file in client.list_artifacts(parent.info.run_id)}
    assert sizes["report.html"] < 8_000_000
    assert sizes["test.json"] < 1_000_000
    assert sizes["confusion.png"] < 1_000_000
    with Image.open(client.download_artifacts(parent.info.run_id, "confusion.png")) as picture:
        assert max(picture.size) <= 4000

    done = invoke("tune.predict", str(tmp_path / "images" / "class 0007"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 8
    path = tmp_path / "images" / NASTY[0] / "0.png"
    done = invoke("tune.predict", "--top-k", "1000", str(path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert NASTY[0] in done.stdout
    assert invoke("tune.report", cwd=tmp_path).returncode == 0
