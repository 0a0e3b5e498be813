"""A PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.lacking import lacking
from tests.helpers.processes import free_port

USER = "tune"


class Postgres:
    """A PostgreSQL server of its own, on loopback. It refuses to run as root.

    Args:
        programs: The folder of its programs.
        folder: Its own folder.
        password: Its user's; by default it asks for none.
        host: An address of this machine at which others reach it too; by default none does.
    """

    def __init__(
        self, programs: Path, folder: Path, password: str | None = None, host: str = "127.0.0.1"
    ) -> None:
        self._programs, self._folder, self.host = programs, folder, host
        self._user = "nobody" if os.geteuid() == 0 else None
        self.port = free_port()
        (folder / "password").write_text(password or "none")
        if self._user:
            shutil.chown(folder, self._user)
            shutil.chown(folder / "password", self._user)
        method = "trust" if password is None else "scram-sha-256"
        words = ("-A", method, "--pwfile", "password", "-U", USER, "--no-sync")
        self._run("initdb", "-D", "data", *words)
        if host != "127.0.0.1":
            with (folder / "data" / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {host}/24 {method}\n")

    @property
    def url(self) -> str:
        return self.url_with(USER)

    def url_with(self, user: str) -> str:
        """The URL of its database, for a user, with a password or not."""
        return f"postgresql+psycopg://{user}@{self.host}:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -h {self.host} -k {self._folder}"
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", "data", "-m", "immediate", "stop")

    def _run(self, program: str, *words: str) -> None:
        subprocess.run(
            [str(self._programs / program), *words],
            cwd=self._folder,
            user=self._user,
            check=True,
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def postgres(password: str | None = None, host: str = "127.0.0.1") -> Iterator[Postgres]:
    """A server that runs; without PostgreSQL's programs the test is skipped, and fails in CI."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        lacking("PostgreSQL's server is not installed")
    with tempfile.TemporaryDirectory() as folder:  # not pytest's, which others cannot enter
        server = Postgres(found[-1], Path(folder), password, host)
        server.start()
        yield server
        server.stop()
