"""A table of images: every form, every column, and every mistake by its line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from trainable.config import DataConfig
from trainable.data.datasets import load_dataset
from trainable.data.decoding import decoded
from trainable.data.forms.table import list_table

OF_TABLE: Mapping[str, Any] = {"source": "table", "image_size": 12}
WriteClasses = Callable[..., Path]
Records = Sequence[Mapping[str, Any]]


@pytest.fixture
def photos(tmp_path: Path, write_classes: WriteClasses) -> Path:
    return write_classes(tmp_path, {"a": 8, "b": 8})


def records(**more: Callable[[int], Any]) -> list[dict[str, Any]]:
    found = [
        {"path": f"{name}/{number:03}.png", "label": name} for name in "ab" for number in range(8)
    ]
    return [{**each, **{k: make(n) for k, make in more.items()}} for n, each in enumerate(found)]


def write(path: Path, rows: Records, delimiter: str = ",") -> Path:
    if path.suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    elif path.suffix in {".jsonl", ".ndjson"}:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [
        *(("t.csv", ","), ("t.csv", ";"), ("t.CSV", "\t"), ("t.tsv", "\t")),
        *(("t.parquet", ""), ("t.jsonl", ""), ("t.ndjson", "")),
    ],
)
def test_each_form_gives_the_same(photos: Path, name: str, delimiter: str) -> None:
    rows = records(
        split=lambda n: ["train", "Training", "valid", "TEST"][n % 4], weight=lambda n: n + 1
    )

    found = list_table(write(photos / name, rows, delimiter))

    assert found.classes == ("a", "b")
    assert {split: len(files) for split, files in found.files.items()} == {
        "train": 8,
        "val": 4,
        "test": 4,
    }
    assert found.files["val"][0] == photos / "a" / "002.png"
    assert found.labels["val"].tolist() == [0, 0, 1, 1]
    assert found.weights["val"].tolist() == [3, 7, 11, 15]
    assert found.groups == {}
    assert found.notes == ()


def test_labels_are_text_whatever_they_look_like(photos: Path) -> None:
    rows = records(label=lambda n: "NA" if n < 8 else "007")
    assert list_table(write(photos / "t.csv", rows)).classes == ("007", "NA")
    numbers = records(label=lambda n: float(n // 8))
    assert list_table(write(photos / "t.parquet", numbers)).classes == ("0", "1")


def test_a_table_as_a_spreadsheet_writes_it_is_read(photos: Path) -> None:
    lines = ["\ufeffPath ;LABEL", *(f'"{r["path"]}"; {r["label"]} ' for r in records()), "", ";"]
    (photos / "t.csv").write_text("\r\n".join(lines), newline="")

    assert list_table(photos / "t.csv").classes == ("a", "b")


def test_paths_of_another_system_are_found(photos: Path) -> None:
    rows = [{**row, "path": row["path"].replace("/", "\\")} for row in records()]
    assert list_table(write(photos / "t.csv", rows)).files["train"][0] == photos / "a" / "000.png"


def test_some_paths_may_be_absolute_and_others_not(
    photos: Path, no_cached_data: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "LEAST_BYTES", 1)
    here = load_dataset(config := DataConfig(**OF_TABLE, root=write(photos / "t.csv", records())))
    mixed = [
        {**row, "path": str(photos / row["path"]) if n % 2 else row["path"]}
        for n, row in enumerate(records())
    ]
    write(photos / "mixed.csv", mixed)
    monkeypatch.chdir(photos)
    found = load_dataset(DataConfig(**OF_TABLE, root=Path("mixed.csv")))
    assert found.fingerprint == here.fingerprint
    limited = [
        load_dataset(DataConfig(**OF_TABLE, root=root, limit=8)).fingerprint
        for root in (config.root, Path("mixed.csv"))
    ]
    assert limited[0] == limited[1]


@pytest.mark.parametrize("column", ["group", "patient"])
def test_groups_are_of_a_column_and_stay_together(
    photos: Path, column: str, no_cached_data: None
) -> None:
    path = write(photos / "t.csv", records(**{column: lambda n: f"p{n // 2}" if n else ""}))
    named = {} if column == "group" else {"group": column}

    data = load_dataset(DataConfig(source="table", root=path, image_size=12, **named))

    assert "7 groups of 1 to 2 images, each" not in data.notes
    assert "8 groups of 1 to 2 images, each of which stays in one split" in data.notes
    where = [
        {(path.parent.name, int(path.stem) // 2) for path in data.split(name).files}
        for name in ("train", "val", "test")
    ]
    assert len(set.union(*where)) == 8
    assert sum(map(len, where)) <= 9, "the image of no group alone may be elsewhere"


def test_weights_reach_the_splits(photos: Path, no_cached_data: None) -> None:
    path = write(photos / "t.jsonl", records(weight=lambda n: n + 0.5))
    config = DataConfig(source="table", root=path, image_size=12)

    data = load_dataset(config)

    for name in ("train", "val", "test"):
        split = data.split(name)
        expected = [int(f.stem) + 8 * (f.parent.name == "b") + 0.5 for f in split.files]
        assert split.weights.tolist() == expected
    load_dataset.cache_clear()
    write(path, records())
    assert load_dataset(config).fingerprint != data.fingerprint
    assert not len(load_dataset(config).train.weights)


class TestMistakes:
    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("a/999.png,a,train,1", "line 18: no such file: a/999.png"),
            (",a,train,1", "line 18: path is empty"),
            ("a,a,train,1", "line 18: no such file: a"),
            ("a/000.png,b,train,1", "line 18: a/000.png has label b, and a in line 2"),
            ("a/000.png,a,test,1", "line 18: a/000.png has split test, and train in line 2"),
            ("a/000.png,,train,1", "line 18: label is empty"),
            ("a/000.png,a,train,-1", "line 18: weight is -1, and must be a number above 0"),
            ("a/000.png,a,train,much", "line 18: weight is much, and must be a number above 0"),
            (
                "a/000.png,a,hold out,1",
                "line 18: split is hold out, and must be one of train, val, test",
            ),
            ("a/000.png,a,,1", "line 18: split is empty, and must be"),
            ("a/000.png,a|b,train,1", r"line 18: 2 labels (a|b), and 1 is expected"),
            ("a/000.png,a,train", "line 18: 3 cells, and 4 columns are named above"),
        ],
    )
    def test_each_is_named_by_its_line(self, photos: Path, line: str, said: str) -> None:
        path = write(photos / "t.csv", records(split=lambda _: "train", weight=lambda _: 1))
        path.write_text(path.read_text() + line + "\n")

        with pytest.raises(ValueError, match=r"data\.root=.*t\.csv: ") as refusal:
            list_table(path)

        assert said in str(refusal.value)

    def test_a_few_are_named_and_the_others_counted(self, photos: Path) -> None:
        path = write(
            photos / "t.csv", records(path=lambda n: f"gone/{n}.png" if n > 2 else "a/000.png")
        )
        with pytest.raises(ValueError, match=r"line 5: .*line 9: .*gone/7\.png; and 8 more$"):
            list_table(path)

    def test_a_line_is_that_of_the_file_where_cells_have_several(self, photos: Path) -> None:
        lines = ["path,label,note", 'a/000.png,a,"one\ntwo\nthree"', "", "gone.png,b,x"]
        (photos / "t.csv").write_text("\n".join(lines))
        with pytest.raises(ValueError, match=r"t\.csv: line 6: no such file: gone\.png$"):
            list_table(photos / "t.csv")

    def test_lines_that_are_no_json_are_named(self, photos: Path) -> None:
        (photos / "t.jsonl").write_text('{"path": "a/000.png", "label": "a"}\n\n{"path"\n[1]\n')
        with pytest.raises(ValueError, match=r"line 3: no JSON \(.*; line 4: must be like \{"):
            list_table(photos / "t.jsonl")

    @pytest.mark.parametrize(
        ("columns", "said"),
        [
            (("filename", "label"), "has no column path: call filename so"),
            (("path", "Class"), "has no column label: call class so"),
            (
                ("a/000.png", "a"),
                r"has no column path: its first line must name it, and has a, a/000",
            ),
        ],
    )
    def test_a_missing_column_is_named(
        self, photos: Path, columns: tuple[str, str], said: str
    ) -> None:
        rows = [dict(zip(columns, row.values(), strict=True)) for row in records()]
        with pytest.raises(ValueError, match=said):
            list_table(write(photos / "t.csv", rows))

    def test_a_missing_column_of_groups_is_named(self, photos: Path) -> None:
        path = write(photos / "t.csv", records())
        with pytest.raises(
            ValueError, match=r"data\.group=patient: .*no such column; it has label, p"
        ):
            list_table(path, "patient")

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("t.xlsx", b"", r"a table must be one of \.csv, \.tsv, \.parquet, \.jsonl, \.ndjson"),
            ("t.csv", b"", "has no column path: its first line must name it, and has nothing"),
            ("t.csv", "path,label\né".encode("latin-1"), r"is no UTF-8 \(.*save it as UTF-8"),
            ("t.parquet", b"PAR1", "is no Parquet file"),
            ("t.csv", b"path,label\na/000.png,a\n", "has 1 labels: at least 2 are needed"),
        ],
    )
    def test_what_is_no_table_is_refused(
        self, photos: Path, name: str, content: bytes, said: str
    ) -> None:
        (photos / name).write_bytes(content)
        with pytest.raises(ValueError, match=said):
            list_table(photos / name)

    @pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.jsonl"])
    def test_columns_of_one_name_are_refused(self, photos: Path, name: str) -> None:
        path = write(photos / name, [{**row, "Label": "a"} for row in records()])
        said = "has 2 columns that are called label, .* rename or remove all but one"
        with pytest.raises(ValueError, match=said if name != "t.jsonl" else "line 1: two keys"):
            list_table(path)

    def test_columns_without_a_name_are_passed_over(self, photos: Path) -> None:
        lines = ["path,label,,", *(f"{row['path']},{row['label']},," for row in records())]
        (photos / "t.csv").write_text("\n".join(lines))
        assert len(list_table(photos / "t.csv").files["train"]) == 16

    def test_one_that_is_not_there_is_refused(self, photos: Path) -> None:
        with pytest.raises(ValueError, match=r"t\.csv cannot be read \(No such file"):
            list_table(photos / "t.csv")


def test_a_row_that_is_there_twice_is_counted_once(photos: Path) -> None:
    rows = [*records(), {"path": "./a/../a/000.png", "label": "a"}]

    found = list_table(write(photos / "t.csv", rows))

    assert len(found.files["train"]) == 16
    assert found.notes == ("left out: rows that say the same of a file again: 1",)


def test_a_test_split_without_labels_is_left_out_and_said_to_be(photos: Path) -> None:
    rows = records(
        split=lambda n: "test" if n % 4 == 0 else "train",
        label=lambda n: "" if n % 4 == 0 else "ab"[n // 8],
    )
    found = list_table(write(photos / "t.csv", rows))
    assert list(found.files) == ["train"]
    assert found.notes[0].startswith("no row of the test split has a label: these 4 are left out")


def test_a_table_without_training_images_is_refused(photos: Path) -> None:
    path = write(photos / "t.csv", records(split=lambda _: "val"))
    with pytest.raises(ValueError, match="has no row whose split is train: give some"):
        list_table(path)
