"""Which columns of the live table a terminal's width has room for."""

from __future__ import annotations

from typing import Any

import pytest

from tune.engine.columns import Column, fit, short_names, shown


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        (["optim.lr", "model.unfreeze_depth"], ["lr", "unfreeze_depth"]),
        (["optim.name", "schedule.name", "optim.lr"], ["optim.name", "schedule.name", "lr"]),
        (["a.b.name", "c.b.name", "b.name"], ["a.b.name", "c.b.name", "b.name"]),
        (["lr"], ["lr"]),
    ],
)
def test_a_name_is_the_shortest_end_that_no_other_key_has(
    keys: list[str], names: list[str]
) -> None:
    assert [*short_names(keys).values()] == names


@pytest.mark.parametrize(
    ("value", "width", "expected"),
    [
        (0.00031622776, 16, "0.00032"),
        (0.00031622776, 7, "0.00032"),
        (0.00031622776, 6, "0.0003"),
        (0.000123456, 5, "1e-4"),
        (1.0, 7, "1"),
        (True, 7, "true"),
        ("one_cycle", 16, "one_cycle"),
        ("one_cycle", 7, "one_cy…"),
        ("weights/of/mine/resnet18.pth", 16, "…resnet18.pth"),
        ("weights/of/mine/resnet18-f37072fd.pth", 16, "…18-f37072fd.pth"),
        ("two\nlines", 16, "two lines"),
        ("一二三四五", 7, "一二三…"),
        ("", 7, ""),
    ],
)
def test_a_value_is_cut_where_it_says_least(value: Any, width: int, expected: str) -> None:
    assert shown(value, width) == expected


FIRST = [
    Column("trial", ("0", "1")),
    Column("train", ("10.00%", "20.00%"), spare=2),
    Column("last", ("30.00%", "40.00%"), spare=1),
]
VALUES = {
    "optim.lr": [0.001, 0.01],
    "optim.label_smoothing": [0.1, 0.1],
    "augment.policy": ["flip_crop", "trivial"],
}


@pytest.mark.parametrize(
    ("width", "heads", "left_out"),
    [
        (100, ["trial", "train", "last", "lr", "label_smoothing", "policy"], ()),
        (51, ["trial", "train", "last", "lr", "label_\nsmoothing", "policy"], ()),
        (43, ["trial", "last", "lr", "label_\nsmoothing", "policy"], ()),
        (36, ["trial", "lr", "label_\nsmoothing", "policy"], ()),
        (31, ["trial", "lr", "label_\nsmooth…", "policy"], ()),
        (22, ["trial", "lr", "policy"], ("label_smoothing",)),
        (14, ["trial", "lr"], ("label_smoothing", "policy")),
        (1, ["trial"], ("lr", "label_smoothing", "policy")),
    ],
)
def test_what_says_least_is_left_out_first(
    width: int, heads: list[str], left_out: tuple[str, ...]
) -> None:
    layout = fit(FIRST, VALUES, width)
    assert [column.head for column in layout.columns] == heads
    assert layout.left_out == left_out
    assert layout.lines == max(head.count("\n") + 1 for head in heads)
