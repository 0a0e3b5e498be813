"""`python -m tune.data`, as a user runs it."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from tests.helpers.doors import invoke
from tests.helpers.images import write_folders
from tests.helpers.label_sets import SIDES, write_table
from tests.helpers.searches import FinishedSearch
from trainable.config import DataConfig
from trainable.data.balance import Balance
from trainable.data.datasets import load_dataset
from trainable.data.parts import SPLITS
from tune.config.data_words import config_of_images
from tune.soundness.reading import survey
from tune.tracking.schema import Artifact

CLASSES = ("ants", "bees")


def scene(seed: int, side: int = 96) -> Image.Image:
    """A picture unlike those of other seeds, smooth as photographs are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def write_scenes(folder: Path, seeds: range, side: int = 96) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        scene(seed, side).save(folder / f"{seed:03d}.png")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of 24 pictures, of which none is a copy of another."""
    write_scenes(tmp_path / "photos" / "ants", range(60))
    write_scenes(tmp_path / "photos" / "bees", range(100, 160))
    return tmp_path / "photos"


@pytest.fixture
def split_photos(tmp_path: Path) -> Path:
    """The same in a training and a test folder."""
    for number, (name, split) in enumerate(
        (name, split) for split in ("train", "test") for name in CLASSES
    ):
        write_scenes(tmp_path / "photos" / split / name, range(100 * number, 100 * number + 22))
    return tmp_path / "photos"


def examined(*words: str, cwd: Path, code: int = 0) -> dict[str, Any]:
    done = invoke("tune.data", *words, "--json", cwd=cwd)
    assert done.returncode == code, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def states(found: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["state"] for each in found["findings"]}


def test_sound_images_are_counted_and_measured(photos: Path, tmp_path: Path) -> None:
    scene(500, 200).resize((200, 120)).save(photos / "bees" / "wide.jpg")
    found = examined("photos", cwd=tmp_path)
    assert found["images"] == 121
    assert found["classes"]["bees"] == {"train": 61, "val": 0, "test": 0}
    assert found["sizes"]["width"] == [96, 96, 200]
    assert found["sizes"]["aspect"] == [1, 1, pytest.approx(1.667)]
    assert set(states(found).values()) == {"ok"}
    searched = found["searched"]
    assert sum(searched["bees"].values()) == 61
    assert all(count > 0 for row in searched.values() for count in row.values())
    assert found["page"] == "data.html"


def test_duplicates_across_splits_that_folders_give_are_a_leak(
    split_photos: Path, tmp_path: Path
) -> None:
    assert examined("photos", cwd=tmp_path)["leaks"] == 0
    image = Image.open(split_photos / "train" / "ants" / "003.png")
    image.resize((64, 64)).save(split_photos / "test" / "ants" / "copy.jpg", quality=70)
    found = examined("photos", cwd=tmp_path, code=1)
    assert found["leaks"] == 1
    (group,) = found["duplicates"]
    assert (group["splits"], group["exact"]) == (["train", "test"], False)
    assert [each["image"] for each in group["images"]] == [
        "train/ants/003.png",
        "test/ants/copy.jpg",
    ]
    assert states(found)["leaks"] == "fail"


def test_duplicates_within_a_split_are_no_leak(photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "ants" / "003.png", photos / "ants" / "again.png")
    bright = ImageEnhance.Brightness(Image.open(photos / "ants" / "005.png")).enhance(1.15)
    bright.save(photos / "bees" / "bright.png")
    found = examined("photos", cwd=tmp_path)
    assert (found["leaks"], found["two_labels"]) == (0, 1)
    assert [group["exact"] for group in found["duplicates"]] == [False, True]
    assert states(found) | {"two labels": "warn", "duplicates": "warn"} == states(found)


def test_all_broken_files_are_named_with_their_reasons(photos: Path, tmp_path: Path) -> None:
    (photos / "ants" / "words.png").write_bytes(b"words")
    whole = (photos / "bees" / "100.png").read_bytes()
    (photos / "bees" / "half.png").write_bytes(whole[: len(whole) // 2])
    found = examined("photos", cwd=tmp_path, code=1)
    assert {each["name"] for each in found["broken"]} == {"ants/words.png", "bees/half.png"}
    reasons = {each["name"]: each["reason"] for each in found["broken"]}
    assert reasons["ants/words.png"] == "it is text"
    assert "truncated" in reasons["bees/half.png"]
    assert found["images"] == 120
    skipped = examined("photos", "data.on_error=skip", cwd=tmp_path)
    assert states(skipped)["broken files"] == "warn"
    done = invoke("tune.data", "photos", cwd=tmp_path)
    assert "\n  ants/words.png: it is text\n" in done.stdout
    assert "2 files cannot be read: ants/words.png, bees/half.png" in done.stdout


def test_plain_images_and_uneven_classes_are_told(photos: Path, tmp_path: Path) -> None:
    for path in sorted((photos / "bees").glob("*.png"))[5:]:
        path.unlink()
    Image.new("RGB", (96, 96), (40, 80, 40)).save(photos / "ants" / "plain.png")
    found = examined("photos", cwd=tmp_path)
    assert found["plain"] == ["ants/plain.png"]
    assert states(found)["balance"] == states(found)["plain"] == "warn"
    (told,) = (each for each in found["findings"] if each["name"] == "balance")
    train = {name: row["train"] for name, row in found["searched"].items()}
    assert f"fewer than 20 training images of bees ({train['bees']})" in told["message"]
    assert "train.class_weights=balanced" in told["message"]


def test_too_few_images_for_a_split_are_told_before_a_search_is(
    photos: Path, tmp_path: Path
) -> None:
    for path in sorted((photos / "bees").glob("*.png"))[1:]:
        path.unlink()
    found = examined("photos", cwd=tmp_path, code=1)
    (told,) = (each for each in found["findings"] if each["state"] == "fail")
    assert told["name"] == "split"
    assert "bees (1)" in told["message"]
    assert found["searched"] is None


def test_lines_for_people_say_what_the_document_says(photos: Path, tmp_path: Path) -> None:
    found = examined("photos", cwd=tmp_path)
    done = invoke("tune.data", "photos", "--out=pages", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    for name, row in found["classes"].items():
        assert [name, str(row["train"]), "·", "·"] in lines
    for each in found["findings"]:
        assert each["message"] in done.stdout
    assert done.stdout.endswith("\npages/data.html\n")
    assert (tmp_path / "pages" / "data.html").is_file()


def test_the_page_of_before_is_replaced_as_a_whole(photos: Path, tmp_path: Path) -> None:
    """Whoever reads it meanwhile reads it to its end."""
    before = "the page of before" * 1000
    (tmp_path / "data.html").write_text(before)
    with (tmp_path / "data.html").open() as reader:
        assert invoke("tune.data", "photos", cwd=tmp_path).returncode == 0
        assert reader.read() == before
    assert "<h1" in (tmp_path / "data.html").read_text()


def test_the_page_shows_each_class_each_policy_and_the_duplicates(
    photos: Path, tmp_path: Path
) -> None:
    shutil.copy(photos / "ants" / "003.png", photos / "bees" / "copy.png")
    done = invoke("tune.data", "photos", "data.image_size=48", cwd=tmp_path)
    assert done.returncode == 0
    text = (tmp_path / "data.html").read_text()
    assert re.findall(r"<h3><bdi>(.*?)</bdi>", text) == list(CLASSES)
    policies = re.findall(r"<h3><code>(.*?)</code>", text)
    assert policies == ["none", "flip", "flip_crop", "trivial", "rand"]
    shown = re.findall(r'<div class="policies">(.*?)</div>', text, re.S)
    assert [each.count("<img") for each in shown] == [12] * 5
    assert len(set(shown)) == 5
    assert "2 exact duplicates, called ants and bees" in text
    outside = re.findall(r'(?:src|href)="(?!data:|#)(.*?)"', text)
    assert outside == []


def test_names_cannot_write_into_the_page(photos: Path, tmp_path: Path) -> None:
    (photos / "bees").rename(photos / "<script>alert(1)<")
    (photos / "ants" / "<img src=x>.png").write_bytes(b"no image")
    done = invoke("tune.data", "photos", cwd=tmp_path)
    assert done.returncode == 1
    text = (tmp_path / "data.html").read_text()
    assert "<script>" not in text
    assert "<img src=x>" not in text
    assert "&lt;img src=x&gt;.png" in text


def test_without_a_folder_the_config_names_the_images(tmp_path: Path) -> None:
    found = examined("data.image_size=16", cwd=tmp_path)
    assert (found["source"], found["images"]) == ("digits", 1797)
    text = (tmp_path / "data.html").read_text()
    assert "not with this data: a mirrored image would be of another class" in text


def test_a_folder_may_have_an_equals_sign(photos: Path, tmp_path: Path) -> None:
    photos.rename(tmp_path / "a=b")
    assert examined("a=b", cwd=tmp_path)["root"] == "a=b"


def test_a_table_names_the_images_and_their_groups(photos: Path, tmp_path: Path) -> None:
    files = sorted(photos.rglob("*.png"))
    rows = [
        f"photos/{path.relative_to(photos)},{path.parent.name},p{n // 4}"
        for n, path in enumerate(files)
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,group", *rows]))
    found = examined("labels.csv", cwd=tmp_path)
    assert (found["source"], found["images"]) == ("table", 120)
    assert found["classes"]["bees"]["train"] == 60
    whole = {
        sum(row[split] for row in found["searched"].values()) % 4
        for split in ("train", "val", "test")
    }
    assert whole == {0}, "groups of four are not torn"


@pytest.mark.parametrize(
    ("words", "with_split", "told"),
    [
        ((), True, "the images of p3 lie in test and train"),
        (("data.group=patient",), True, "the images of p3 lie in test and train"),
        (("data.split_rule=1",), False, "the data has groups that must stay together"),
    ],
)
def test_groups_that_a_search_refuses_are_told_before_it_does(
    photos: Path,
    tmp_path: Path,
    words: tuple[str, ...],
    with_split: bool,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    column = "patient" if "data.group=patient" in words else "group"
    rows = [f"path,label,{column}" + ",split" * with_split]
    for n, path in enumerate(sorted(photos.rglob("*.png"))):
        # The images of a patient lie side by side, but for those of one of them.
        number = 3 if n in (12, 17) else n // 4 + 100
        split = f",{'test' if n % 8 >= 4 else 'train'}" * with_split
        rows.append(f"photos/{path.relative_to(photos)},{path.parent.name},p{number}{split}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    found = examined("labels.csv", *words, cwd=tmp_path, code=1)
    (failed,) = (each for each in found["findings"] if each["state"] == "fail")
    assert failed["name"] == "split"
    assert told in failed["message"]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=told):
        load_dataset(config_of_images(["labels.csv", *words], None).data)


def test_a_class_that_a_search_would_leave_without_images_is_told(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scenes(photos / "crickets", range(200, 203))
    for path in (photos / "crickets").iterdir():
        path.write_bytes(b"words")
    found = examined("photos", "data.on_error=skip", cwd=tmp_path, code=1)
    (failed,) = (each for each in found["findings"] if each["state"] == "fail")
    assert failed["name"] == "split"
    told = "data.on_error=skip leaves no image of 'crickets' in train: "
    assert failed["message"].startswith(told)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=told):
        load_dataset(config_of_images(["photos", "data.on_error=skip"], None).data)


@pytest.mark.parametrize("changes", [{}, {"limit": 40}])
def test_of_several_labels_each_stays_with_its_image(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    table = write_table(tmp_path, 90)
    with table.open(newline="") as file:
        said = {tmp_path / row["path"]: row["label"] for row in csv.DictReader(file)}
    (tmp_path / "images" / "0000.png").write_bytes(b"words")
    config = DataConfig(
        source="table", root=table, image_size=16, labels="several", on_error="skip", **changes
    )
    found = survey(config, None)
    assert [found.label_of(n) for n in range(len(found))] == [said[path] for path in found.files]


def test_of_several_labels_each_is_counted(tmp_path: Path) -> None:
    """As at the start of a search, though the rarest alone decides the split."""
    table = write_table(tmp_path / "table", 90)
    found = examined(
        *("data.source=table", f"data.root={table}", "data.labels=several"),
        "data.image_size=16",
        cwd=tmp_path,
    )
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for side in SIDES:
        wanted = sum(side in row["label"].split("|") for row in rows)
        assert found["classes"][side]["train"] == wanted
        assert sum(found["searched"][side].values()) == wanted
    told = {each["name"]: each["message"] for each in found["findings"]}
    assert told["images"] == "90 images of 3 classes: 90 train"
    told_split = list(map(int, re.findall(r"\d+", told["split"])))
    assert sum(told_split) == 90
    dataset = load_dataset(DataConfig(source="table", root=table, image_size=16, labels="several"))
    assert told_split == [len(dataset.split(name)) for name in SPLITS]
    for side, row in zip(dataset.classes, Balance.of(dataset).counts, strict=True):
        assert tuple(found["searched"][side].values()) == row


@pytest.mark.slow
def test_files_are_read_once_for_this_and_for_a_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scenes(tmp_path / "photos" / "ants", range(60), side=160)
    write_scenes(tmp_path / "photos" / "bees", range(100, 160), side=160)
    monkeypatch.setenv("TUNE_CACHE", str(tmp_path / "cache"))
    before = examined("photos", cwd=tmp_path)
    calls = []
    monkeypatch.setattr(
        "trainable.data.decoding.files.facts_of", lambda *given: calls.append(given)
    )
    assert examined("photos", cwd=tmp_path) == before
    assert calls == []


@pytest.mark.nightly
def test_after_a_search_its_winner_judges_what_it_was_not_trained_on(
    finished_search: FinishedSearch,
) -> None:
    found = examined("--search=first", "--out=sound", cwd=finished_search.folder)
    assert re.fullmatch(
        r"\d+ validation images judged by the winner and \d+ test images judged by the search's "
        "model",
        found["judged"],
    )
    assert {each["split"] for each in found["doubtful"]} <= {"val", "test"}
    assert all(each["class"] != each["suggested"] for each in found["doubtful"])
    with (finished_search.folder / "sound" / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == found["images"]
    first = [row["path"] for row in rows[: len(found["doubtful"])]]
    assert first == [each["image"] for each in found["doubtful"]]
    done = invoke("tune.data", "--search=first", cwd=finished_search.folder)
    assert f"labels: {len(found['doubtful'])} are doubtful, of {found['judged']}" in done.stdout
    assert (finished_search.folder / "mlruns/searches/first/labels.csv").exists()


def test_a_search_has_the_page_about_its_images_on_its_run(
    finished_search: FinishedSearch,
) -> None:
    (run,) = finished_search.runs("search")
    artifacts = {each.path for each in finished_search.client.list_artifacts(run.info.run_id)}
    assert Artifact.DATA in artifacts
    home = finished_search.folder / "mlruns" / "searches" / "first"
    assert 'href="data.html"' in (home / "report.html").read_text()
    assert "What the network sees" in (home / "data.html").read_text()


def test_without_cleanlab_a_search_is_not_looked_at(
    finished_search: FinishedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune.soundness.labels.find_spec", lambda name: None)
    done = invoke("tune.data", "--search=first", cwd=finished_search.folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'resnet-tune[data-check]'" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "data.root=nowhere is not a folder"),
        (["photos/ants"], "photos/ants has 0 class folders: at least 2 are needed"),
        (["photos", "data.imagesize=3"], "data.imagesize=3: no such key"),
        (["photos", "--config=digits"], "data.root=photos means nothing with data.source=digits"),
        (["photos", "--search=first"], "--search takes the images of that search"),
        (["--search=nowhere"], "nowhere"),
        (["photos", "--out=file"], "--out file cannot be written"),
        (["allbroken"], "no image of allbroken can be read; the first: "),
    ],
)
def test_a_mistake_ends_with_2_and_one_line(
    words: list[str], told: str, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    write_folders(tmp_path / "allbroken", CLASSES, 1)
    for path in (tmp_path / "allbroken").rglob("*.png"):
        path.write_bytes(b"words")
    done = invoke("tune.data", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
