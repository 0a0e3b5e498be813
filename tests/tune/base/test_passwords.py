"""Passwords in addresses: nothing shows them, wherever the address goes."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.examples import examples
from tune.base.errors import ConfigError, Halt
from tune.base.passwords import masked, without_passwords


@pytest.mark.parametrize(
    ("address", "shown", "stored"),
    [
        ("postgresql://u:s3cret@h/db", "postgresql://u:***@h/db", "postgresql://u@h/db"),
        ("mysql+pymysql://u:s3@c/r:e@h", "mysql+pymysql://u:***@h", "mysql+pymysql://u@h"),
        ("http://:s3cret@h:5000", "http://:***@h:5000", "http://h:5000"),
        ("pg://h/db?password=s3&a=b", "pg://h/db?password=***&a=b", "pg://h/db?a=b"),
        ("pg://h/db?a=b&sslpassword=s3", "pg://h/db?a=b&sslpassword=***", "pg://h/db?a=b"),
        ("pg://h/db?password=s3", "pg://h/db?password=***", "pg://h/db"),
        ("pg://h/d?a&pwd=s3&c", "pg://h/d?a&pwd=***&c", "pg://h/d?a&c"),
        ("pg://me@c:s3cret@h/db", "pg://me@c:***@h/db", "pg://me@c@h/db"),
        ("pg://u:a/b c@h/db", "pg://u:***@h/db", "pg://u@h/db"),
        ("http://tok3n@h:5000", "http://***@h:5000", "http://h:5000"),
        ("pg://u@h:5432/db", "pg://u@h:5432/db", "pg://u@h:5432/db"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("http://h:5000/a?b=c", "http://h:5000/a?b=c", "http://h:5000/a?b=c"),
        ("models:/resnet18@champion", "models:/resnet18@champion", "models:/resnet18@champion"),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, shown: str, stored: str) -> None:
    assert masked(f"in '{address}' (1)") == f"in '{shown}' (1)"
    assert without_passwords(address) == stored
    assert str(ConfigError(f"x {address}")) == f"x {shown}"
    assert str(Halt(f"x {address}")) == f"x {shown}"


PASSWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=20)


@settings(max_examples=examples(200))
@given(password=PASSWORDS, escaped=st.booleans(), text=st.text(max_size=9))
def test_no_password_is_shown_whatever_it_is(password: str, escaped: bool, text: str) -> None:
    written = quote(password, safe="") if escaped else password
    address = f"postgresql://user:{written}@host/db"
    assert masked(f"{text} {address} {text}") == f"{text} postgresql://user:***@host/db {text}"
    assert written not in masked(f"no host {written}", address)
    assert without_passwords(address) == "postgresql://user@host/db"


@pytest.mark.parametrize(
    "text",
    [
        "http://h:5000 is away, says me@corp",
        "http://h:5000: away; see me@corp",
        "sqlite:///a.db of me@corp",
        "http://h: me@corp",
    ],
)
def test_what_is_no_password_is_shown(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    ("address", "told", "shown"),
    [
        ("postgresql://u:p%40ssword@h", "failed for p@ssword", "failed for ***"),
        ("postgresql://u:p%40ssword@h", "failed for p%40ssword", "failed for ***"),
        ("pg://h/db?password=a+b%26c", "failed for a b&c", "failed for ***"),
        ("pg://me@c:s3cret@h", "failed for 's3cret'", "failed for '***'"),
        ("pg://u:s3cret@w0rd@h", 'no host "w0rd@h"', 'no host "***@h"'),
        ("pg://u:s3crets/w0rd@h", "no port 's3crets'", "no port '***'"),
        ("pg://u:the@h", "others breathe the postgres", "others breathe *** postgres"),
        ("pg://u:a/the@h", "bathe in the postgres", "bathe in the postgres"),
        ("pg://u:search@h", "researchers: search", "researchers: ***"),
        ("http://tok3n@h", "no user tok3n", "no user ***"),
        ("pg://u:@h", "no user u", "no user u"),
        ("pg://u:s3cret@@h", "mail me@corp", "mail me@corp"),
    ],
)
def test_a_password_is_looked_for_as_a_word_of_its_own(address: str, told: str, shown: str) -> None:
    assert masked(told, address) == shown
