"""Descriptions in MLflow: whose they are, and that names in them are nothing but names."""

from __future__ import annotations

import pytest

from tune.tracking.notes import SIGNATURE, Links, may_replace, plain


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cats", "cats"),
        ("*a* _b_ `c`", r"\*a\* \_b\_ \`c\`"),
        ("[click](http://x)", r"\[click\]\(http\:/" r"/x\)"),
        ("<img src=x>", r"&lt;img src\=x\>"),
        ("a & b", "a &amp; b"),
        ("a\n# b\x1b", r"a \# b"),
        ("@someone", "&#64;someone"),
        ("C:\\photos", r"C\:\\photos"),
        ("猫 🐈", "猫 🐈"),
    ],
)
def test_a_name_is_shown_as_it_is(name: str, shown: str) -> None:
    assert plain(name) == shown


def test_a_long_name_is_cut_before_it_is_escaped() -> None:
    assert plain("*" * 300, 10) == r"\*" * 9 + "…"


def test_a_description_of_ones_own_is_not_replaced() -> None:
    assert may_replace(None)
    assert may_replace("")
    assert may_replace(f"Some text.\n\n{SIGNATURE}\n")
    assert not may_replace("Some text.")


def test_links_lead_to_runs_and_their_files() -> None:
    links = Links("7", "abc", {})
    assert links.to_run("the [search]") == r"[the \[search\]](#/experiments/7/runs/abc)"
    assert links.to_run("t", "def") == "[t](#/experiments/7/runs/def)"
    assert links.to_file("r", "a b.html") == "[r](#/experiments/7/runs/abc/artifacts/a%20b.html)"
