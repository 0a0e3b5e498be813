from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.helpers.commands import DIGITS, SMALL
from tests.helpers.doors import invoke
from trainable.store.arrays import ArrayStore
from trainable.store.chunks import Chunks
from tune.config.loading import load_config
from tune.study.folder import SearchFolder
from tune.study.search import Search


@pytest.mark.slow
def test_a_trial_fills_the_cache_and_the_command_lists_and_clears_it(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    words = ["--config", str(DIGITS), *SMALL, f"cache.root={root}"]
    cold = invoke("tune.debug", *words, cwd=tmp_path)
    warm = invoke("tune.debug", *words, cwd=tmp_path)
    off = invoke("tune.debug", *words, "cache.enabled=false", cwd=tmp_path)
    assert without_times(cold.stdout) == without_times(warm.stdout) == without_times(off.stdout)

    listed = invoke("tune.cache", "--root", str(root), cwd=tmp_path)
    assert listed.stdout.splitlines()[-1].startswith(f"{root}: 2 entries, ")
    assert [line.split()[5:7] for line in listed.stdout.splitlines()[1:3]] == [
        ["val", "none"],
        ["train", "none"],
    ]
    cleared = invoke("tune.cache", "--root", str(root), "--clear", cwd=tmp_path)
    assert cleared.stdout == f"{root}: 2 entries deleted\n"


def test_data_that_a_search_here_used_has_its_name(tmp_path: Path) -> None:
    store = ArrayStore(tmp_path / "cache")
    for data in ("x", "0123456789abcdef0123"):
        key = {"data": data, "split": "val", "policy": "none", "image_size": 8, "dtype": "uint8"}
        store.get(key, Chunks(1, 1, lambda *_: torch.zeros(1, 2, dtype=torch.uint8)))
    words = ["data.source=image_folder", f"data.root={tmp_path}/of/a/folder/photos"]
    add_search(tmp_path, "done", *words, concluded=True)

    done = invoke("tune.cache", "--root=cache", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    _, *entries = done.stdout.splitlines()[:3]
    (named,) = [line for line in entries if "image_folder /" in line]
    assert "/photos" in named
    (unnamed,) = [line for line in entries if "0123456789abcd" in line]
    assert named.split()[-4:] == unnamed.split()[-4:] == ["val", "none", "8", "uint8"]


def test_a_folder_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    done = invoke("tune.cache", "--root", str(tmp_path / "missing"), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"tune.cache: --root {tmp_path / 'missing'}: no such folder\n"


def add_search(
    folder: Path, name: str, *words: str, concluded: bool, cut_short: bool = False
) -> None:
    """A search with a finalist's checkpoint, which is also its last."""
    config = load_config(DIGITS, words)
    search = Search(
        name=name,
        config=config,
        data_fingerprint="x",
        weights_hash=None,
        concluded=concluded,
        cut_short=cut_short,
    )
    home = SearchFolder(name, folder / "mlruns")
    home.save(search)
    for kind in ("trial", "confirm"):
        trial = home.folder / f"{kind}-000"
        trial.mkdir()
        (trial / "best.pt").write_bytes(bytes(10**6))
        (trial / "last.pt").hardlink_to(trial / "best.pt")
    (home.folder / "report.html").write_text("report")


def listed(folder: Path) -> dict[str, list[str]]:
    lines = invoke("tune.cache", "--root", str(folder), cwd=folder).stdout.splitlines()
    table = lines[lines.index("") + 2 : -1]
    assert lines[-1].startswith(f"mlruns/searches: {len(table)} searches, ")
    return {line.split()[0]: line.split()[1:] for line in table}


def checkpoints(folder: Path) -> set[str]:
    return {path.parts[-3] for path in folder.glob("mlruns/searches/*/*/*.pt")}


def test_searches_are_listed_and_only_what_is_finished_is_cleared_without_its_name(
    tmp_path: Path,
) -> None:
    for name, concluded, cut_short in (
        ("done", True, False),
        ("stopped", False, False),
        ("cut", True, True),
        ("busy", True, False),
    ):
        add_search(tmp_path, name, concluded=concluded, cut_short=cut_short)
    busy = SearchFolder("busy", tmp_path / "mlruns")
    busy.lock()  # as it is while it is extended
    states = {name: cells[-1] for name, cells in listed(tmp_path).items()}
    assert states == {
        "busy": "running",
        "cut": "unfinished",
        "done": "finished",
        "stopped": "unfinished",
    }
    assert listed(tmp_path)["done"][:2] == ["2.0", "MB"]

    cleared = invoke("tune.cache", "--clear-finished", cwd=tmp_path)
    assert (cleared.returncode, cleared.stdout) == (0, "mlruns/searches/done: 2.0 MB deleted\n")
    assert checkpoints(tmp_path) == {"stopped", "cut", "busy"}
    assert (tmp_path / "mlruns" / "searches" / "done" / "report.html").exists()
    cleared = invoke("tune.cache", "--clear-search", "stopped", cwd=tmp_path)
    assert cleared.returncode == 0
    refused = invoke("tune.cache", "--clear-search", "busy", cwd=tmp_path)
    assert refused.returncode == 2
    assert "another process is running it" in refused.stderr
    unknown = invoke("tune.cache", "--clear-search", "dnoe", cwd=tmp_path)
    assert (unknown.returncode, checkpoints(tmp_path)) == (2, {"cut", "busy"})
    assert "no such search" in unknown.stderr


def without_times(output: str) -> list[str]:
    lines = output.splitlines()
    assert len(lines) > 3
    return [line.partition("epoch_seconds")[0] for line in lines]


def test_decoded_images_are_listed_by_their_folder(tmp_path: Path) -> None:
    key = {"kind": "images", "data": "0123", "folder": "/photos", "what": "pixels"}
    store = ArrayStore(tmp_path / "cache")
    store.get(key, Chunks(1, 1, lambda *_: torch.zeros(1, 2, dtype=torch.uint8)))

    done = invoke("tune.cache", "--root=cache", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[4:] == ["/photos", "pixels"]
