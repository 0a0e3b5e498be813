"""MLflow's server, as it is and as it fails."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tests.helpers.processes import free_port, wait_until


class Server:
    """`mlflow server` in a folder, which can be stopped and started again."""

    def __init__(self, folder: Path, *words: str, host: str = "127.0.0.1") -> None:
        self.port = free_port()
        self.uri = f"http://{host}:{self.port}"
        self._folder, self._words = folder, words or ("--backend-store-uri=sqlite:///mlflow.db",)
        beyond = [f"--host={host}", f"--allowed-hosts={host}:{self.port}"]
        self._host = [] if host == "127.0.0.1" else beyond
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        words = [*self._words, *self._host, f"--port={self.port}"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *words, "--workers", "1"],
            cwd=self._folder,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(self._answers)

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()

    def _answers(self) -> bool:
        try:
            return urlopen(f"{self.uri}/health", timeout=1).status == 200
        except URLError:
            return False
        except OSError:
            return False


@contextmanager
def faulty(
    target: Server,
    failing: Callable[[int], str | None],
    login: str | None = None,
    delay: float = 0.0,
) -> Iterator[str]:
    """A server before the server, which loses some requests, or their answers, and says 500.

    Args:
        target: The server.
        failing: Whether the `request` of a number, from 1, or its `answer` is lost.
        login: User and password, as USER:PASSWORD, without which it says 401.
        delay: Seconds that each answer takes.
    """
    expected = login and f"Basic {base64.b64encode(login.encode()).decode()}"
    count = [0]

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            count[0] += 1
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path != "/health" and self.headers.get("Authorization") != expected:
                self.answer(401, b"{}")
                return
            lost = failing(count[0])
            time.sleep(delay)
            if lost == "request":
                self.answer(500, b"{}")
                return
            request = Request(target.uri + self.path, body or None, method=self.command)
            request.add_header("Content-Type", self.headers.get("Content-Type", ""))
            try:
                with urlopen(request, timeout=20) as response:
                    status, content = response.status, response.read()
            except HTTPError as error:
                status, content = error.code, error.read()
            self.answer(500 if lost else status, content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        def answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{proxy.server_port}"
        proxy.shutdown()
