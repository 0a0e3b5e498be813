"""Machines of their own on this one: each with its own network and its own files.

A machine is a network namespace, behind a bridge, and a mount namespace, in which its folder is a
file system that no other sees. The programs are this machine's, as on nodes of one image; what else
nodes are not to have is hidden from them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count
from pathlib import Path

import psutil

from tests.helpers.lacking import lacking
from tests.helpers.processes import run, running, wait_until

_MOUNT = """
set -e
folder=$1 code=$2
shift 2
mount --make-rprivate /
mount -t tmpfs tmpfs "$folder"
mount -t tmpfs tmpfs /dev/shm
mkdir "$folder/desk" "$folder/ray" "$folder/code"
[ -z "$code" ] || mount --bind "$code" "$folder/code"
for hidden in "$@"; do mount -t tmpfs tmpfs "$hidden"; done
echo ready
exec sleep 3600
"""

_PLUGS = count(1)
"""Numbers that no plug of this process has had: one goes some time after its machine."""


class Network:
    """A bridge that machines are attached to.

    Attributes:
        host: The address of this machine there.
    """

    def __init__(self) -> None:
        number = os.getpid() % 200 + 20
        self._bridge, self._prefix = f"tune{os.getpid()}"[:15], f"10.77.{number}"
        self.host = f"{self._prefix}.1"
        self._count = 1
        self._folder = tempfile.mkdtemp(prefix="m", dir="/tmp")

    def __enter__(self) -> Network:
        _call("ip", "link", "add", self._bridge, "type", "bridge")
        _call("ip", "addr", "add", f"{self.host}/24", "dev", self._bridge)
        _call("ip", "link", "set", self._bridge, "up")
        return self

    def __exit__(self, *_: object) -> None:
        _call("ip", "link", "del", self._bridge)
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def machine(
        self,
        environment: Mapping[str, str],
        code: Path | None = None,
        hidden: Sequence[Path] = (),
    ) -> Iterator[Machine]:
        """A machine that runs until the block ends.

        Args:
            environment: Its variables.
            code: A folder of this machine that it has too, as `code` in its own.
            hidden: Folders of this machine that are empty there; in `code` they are as they were.
        """
        self._count += 1
        address = f"{self._prefix}.{self._count}"
        machine = Machine(address, self._folder, self._bridge, environment, code, hidden)
        try:
            yield machine
        finally:
            machine.kill()


class Machine:
    """A machine, as it was switched on.

    Attributes:
        address: Its own.
        folder: Where its files are, which no other machine sees.
    """

    def __init__(
        self,
        address: str,
        folder: str,
        bridge: str,
        environment: Mapping[str, str],
        code: Path | None,
        hidden: Sequence[Path],
    ) -> None:
        self.address, self.folder = address, Path(folder)
        self._environment = {
            **environment,
            "HOME": folder,
            "TMPDIR": folder,
            "RAY_TMPDIR": f"{folder}/ray",
            "TUNE_CACHE": f"{folder}/cache",
        }
        given = [folder, "" if code is None else str(code), *map(str, hidden)]
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--net", "--uts", "sh", "-c", _MOUNT, "sh", *given],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        # Held open: the number of a network that is gone is given to another.
        self._network = Path(f"/proc/{self._holder.pid}/ns/net").open("rb")  # noqa: SIM115
        self._plug_in(bridge)

    def _plug_in(self, bridge: str) -> None:
        plug, number = next(_PLUGS), self.address.rpartition(".")[2]
        outside, inside = f"{bridge[:10]}o{plug}", f"{bridge[:10]}i{plug}"
        self._plug = outside
        _call("ip", "link", "add", outside, "type", "veth", "peer", "name", inside)
        _call("ip", "link", "set", outside, "master", bridge)
        _call("ip", "link", "set", outside, "up")
        _call("ip", "link", "set", inside, "netns", str(self._holder.pid))
        for words in (
            ["ip", "link", "set", "lo", "up"],
            ["ip", "addr", "add", f"{self.address}/24", "dev", inside],
            ["ip", "link", "set", inside, "up"],
            ["hostname", f"node-{number}"],
        ):
            assert self.run(*words).returncode == 0

    def run(self, *words: str, limit: float = 240) -> subprocess.CompletedProcess[str]:
        """Run a command there to its end."""
        return run(self.inside(words), limit=limit, env=self._environment)

    def start(self, *words: str, limit: float = 60) -> str:
        """Run a command there that leaves processes running, and return what it printed."""
        with tempfile.TemporaryFile("w+") as output:  # a pipe would wait for what it leaves
            done = subprocess.run(
                self.inside(words),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=limit,
                check=False,
                start_new_session=True,
            )
            output.seek(0)
            printed = output.read()
        assert done.returncode == 0, printed
        return printed

    def running(self, *words: str) -> AbstractContextManager[subprocess.Popen[str]]:
        """A command that runs there until the block ends."""
        return running(self.inside(words), env=self._environment)

    def unplug(self) -> None:
        """Have what it sends, and what is sent to it, get lost."""
        _call("ip", "link", "set", self._plug, "nomaster")

    def kill(self) -> None:
        """Switch it off: all its processes end at once, and its files are gone."""
        if self._network.closed:
            return
        wait_until(self._none_is_left, seconds=20)
        self._network.close()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()

    def _none_is_left(self) -> bool:
        """Whether no process is; those that are, some of them started since, are killed."""
        left = [p for p in psutil.process_iter() if self._is_of_it(p.pid)]
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return not left

    def inside(self, words: tuple[str, ...]) -> list[str]:
        """A command that runs another there."""
        there = ["nsenter", f"--target={self._holder.pid}", "--mount", "--net", "--uts"]
        return [*there, "env", f"--chdir={self.folder}/desk", *words]

    def _is_of_it(self, pid: int) -> bool:
        """Whether a process is in its network, or about to enter it."""
        with suppress(OSError):
            its = Path(f"/proc/{pid}/ns/net").stat()
            if os.path.samestat(its, os.fstat(self._network.fileno())):
                return True
            entering = "\0".join(self.inside(())[:2]).encode()
            return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(entering + b"\0")
        return False


def _call(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


@contextmanager
def network() -> Iterator[Network]:
    """A network; where this machine can have none, the test is skipped, and fails in CI."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nsenter", "unshare"))):
        lacking("machines of their own need root, iproute2 and util-linux")
    try:
        made = Network().__enter__()
    except subprocess.CalledProcessError as error:
        lacking(f"this machine can have no network of its own: {error.stderr!r}")
    try:
        yield made
    finally:
        made.__exit__()
