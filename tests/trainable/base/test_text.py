"""Names as text that can be shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.names import NASTY
from trainable.base.text import printable, shortened


def test_what_can_be_shown_stays_as_it_is() -> None:
    for text in (
        "cat",
        "$x_{1}$",
        "<b>",
        "[red]",
        "Åsa über Ünal",
        "猫",
        "👩‍🔬",
        "חתול",
        "a\u200cb",
    ):
        assert printable(text) == text


def test_what_would_do_something_is_written_out() -> None:
    assert printable("a\nb\x1b[31mc\u202ed\udcff") == r"a\nb\x1b[31mc\u202ed\udcff"


@given(st.text() | st.sampled_from(NASTY), st.integers(4, 40))
def test_a_name_stands_on_one_line_that_can_be_written(text: str, width: int) -> None:
    shown = shortened(printable(text), width)
    assert len(shown) <= width
    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown
    shown.encode()


def test_a_long_name_keeps_its_beginning_and_its_end() -> None:
    assert shortened("a" * 50 + "z" * 50, 10) == "aaaaaa…zzz"
