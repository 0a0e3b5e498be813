from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from tests.helpers.buckets import s3
from tests.helpers.cluster import installed, other_paths
from tests.helpers.commands import REPOSITORY
from tests.helpers.machines import Network, network
from tests.helpers.postgres import postgres
from tune.study.turns import ServerTurn


@pytest.fixture
def wires() -> Iterator[Network]:
    with network() as wires:
        yield wires


def test_machines_see_each_other_and_none_of_each_others_files(wires: Network) -> None:
    environment = {"PATH": os.environ["PATH"]}
    with wires.machine(environment) as one, wires.machine(environment) as other:
        assert one.address != other.address
        assert one.run("sh", "-c", "echo here > file; cat $HOME/desk/file").stdout == "here\n"
        assert other.run("ls").stdout == ""
        assert one.run("hostname").stdout != other.run("hostname").stdout
        listening = 'import socket; s = socket.create_server(("", 7000)); s.accept(); print("met")'
        with one.running("python3", "-c", listening) as server:
            call = f'socket.create_connection(("{one.address}", 7000), 5)'
            trying = (
                "import socket, time\nfor _ in range(50):\n"
                f"    try:\n        {call}; break\n"
                "    except ConnectionRefusedError:\n        time.sleep(0.1)\n"
            )
            assert other.run("python3", "-c", trying).returncode == 0
            assert server.stdout is not None
            assert server.stdout.readline() == "met\n"
        with other.running("sleep", "600") as sleeping:
            other.kill()
            sleeping.wait(timeout=5)
            assert not psutil.pid_exists(sleeping.pid)


def test_none_of_a_machines_processes_outlives_it_not_even_those_that_just_started(
    wires: Network,
) -> None:
    with ExitStack() as stack:
        machine = stack.enter_context(wires.machine({"PATH": os.environ["PATH"]}))
        started = [stack.enter_context(machine.running("sleep", "600")) for _ in range(40)]
        machine.kill()
        assert all(process.wait(timeout=5) for process in started)


def test_a_node_finds_this_package_nowhere_but_where_a_driver_does(wires: Network) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": other_paths()}
    with wires.machine(environment, REPOSITORY, installed()) as machine:
        where = ("-c", "import tune.search, trainable; print(tune.__file__, trainable.__file__)")
        alone = machine.run(sys.executable, *where)
        assert "No module named 'tune" in alone.stderr
        driver = ("env", f"PYTHONPATH={machine.folder}/code", sys.executable)
        found = machine.run(*driver, *where)
        assert found.returncode == 0, found.stderr
        assert all(path.startswith(f"{machine.folder}/code/") for path in found.stdout.split())


@pytest.mark.parametrize(("ci", "outcome"), [("", "Skipped"), ("true", "Failed")])
def test_a_machine_that_can_have_no_others_skips_in_no_run_of_ci(
    ci: str, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BaseException, match="need root") as caught, network():
        pass
    assert type(caught.value).__name__ == outcome


@pytest.mark.slow
def test_a_bucket_of_this_machine_is_reached_from_others(wires: Network) -> None:
    with s3(wires.host) as bucket, wires.machine({"PATH": os.environ["PATH"]}) as machine:
        url = f"{bucket.environment['AWS_ENDPOINT_URL_S3']}/{bucket.bucket}"
        asked = f"from urllib.request import urlopen; print(urlopen('{url}', timeout=9).status)"
        assert machine.run("python3", "-c", asked).stdout == "200\n"


@pytest.mark.nightly
def test_a_machine_that_is_cut_off_gives_back_its_turn(wires: Network) -> None:
    hold = (
        "import sys, time; from tune.study.turns import ServerTurn\n"
        "turn = ServerTurn(sys.argv[1], 'one', print)\n"
        "assert turn.take(); print('held', flush=True); time.sleep(99)"
    )
    with postgres(host=wires.host) as server:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
        with (
            wires.machine(environment) as machine,
            machine.running(sys.executable, "-c", hold, server.url) as holder,
        ):
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            turn = ServerTurn(server.url, "one", print)
            assert not turn.take()
            machine.unplug()  # of one that is switched off, the server would be told
            assert turn.take(patience=70)
            turn.give_back()


@pytest.mark.slow
def test_a_study_whose_answers_are_lost_on_the_way_is_given_up_and_asked_again(
    wires: Network,
) -> None:
    ask = (
        "import sys, time; from tune.study import storage; from tune.base.errors import Halt\n"
        "storage.SILENCE = 3\n"
        "opened = storage.open_storage(sys.argv[1])\n"
        "names = lambda: storage.patiently(opened.get_all_studies, 1.0)\n"
        "print(len(names()), flush=True)\n"
        "sys.stdin.readline(); start = time.monotonic()\n"
        "try: names()\n"
        "except Halt as halt: print(halt, flush=True)\n"
        "print(time.monotonic() - start < 15, flush=True)\n"
    )
    with postgres(host=wires.host) as server:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
        with wires.machine(environment) as machine:
            words = (sys.executable, "-c", ask, server.url)
            with subprocess.Popen(
                machine.inside(words),
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as asking:
                assert asking.stdin is not None
                assert asking.stdout is not None
                assert asking.stdout.readline() == "0\n"
                machine.unplug()
                found, _ = asking.communicate("on\n", timeout=40)
    assert "Optuna's storage cannot be reached" in found
    assert found.endswith("True\n")
