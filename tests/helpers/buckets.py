"""A bucket on an S3 server of its own, on loopback."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.helpers.processes import free_port

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "tester",
    "AWS_SECRET_ACCESS_KEY": "a secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class S3:
    """moto's S3 server, in a thread. What it holds stays while it is stopped.

    Attributes:
        address: Of a bucket of its own.
        environment: The variables by which a process finds it.
    """

    def __init__(self, host: str) -> None:
        self._host, self._port = host, free_port()
        self._server: Any = None
        self.environment = {
            **ENVIRONMENT,
            "AWS_ENDPOINT_URL_S3": f"http://{host}:{self._port}",
        }
        self.bucket = f"bucket-{uuid.uuid4().hex[:8]}"
        self.address = f"s3://{self.bucket}"

    def start(self) -> None:
        from moto.server import ThreadedMotoServer  # noqa: PLC0415 - it takes a second

        self._server = ThreadedMotoServer(self._host, self._port, verbose=False)
        self._server.start()

    def stop(self) -> None:
        self._server.stop()


@contextmanager
def s3(host: str = "127.0.0.1") -> Iterator[S3]:
    """A server that runs at an address of this machine, with this process's variables for it."""
    pytest.importorskip("moto")
    s3fs = pytest.importorskip("s3fs")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = S3(host)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir(server.bucket)
        try:
            yield server
        finally:
            s3fs.S3FileSystem.clear_instance_cache()
            server.stop()
