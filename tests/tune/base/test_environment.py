from __future__ import annotations

import os

import pytest

from trainable.runtime import COMMAND
from tune.base.environment import (
    LOOPBACK_ONLY,
    connect_to,
    prepare_environment,
    prepared_environment,
)
from tune.base.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "taken"),
    [("auto", "auto"), ("head", "head:6379"), ("10.0.0.1:6380", "10.0.0.1:6380")],
)
def test_an_address_makes_this_a_driver_of_that_cluster(
    given: str, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_ADDRESS", LOOPBACK_ONLY):
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    prepare_environment()
    assert os.environ[LOOPBACK_ONLY] == "0"
    connect_to(None)
    assert "RAY_ADDRESS" not in os.environ
    connect_to(given)
    assert os.environ["RAY_ADDRESS"] == taken
    assert LOOPBACK_ONLY not in os.environ


def test_a_connection_of_rays_client_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match="ray job submit"):
        connect_to("ray://head:10001")


def test_a_command_has_a_name_that_its_workers_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COMMAND, raising=False)
    with prepared_environment():
        first = os.environ[COMMAND]
        prepare_environment()  # as a worker does, with its driver's variables
        assert os.environ[COMMAND] == first
    assert COMMAND not in os.environ
    with prepared_environment():
        assert os.environ[COMMAND] != first
