"""What is deployed is what its tools take, and names what this package has."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import yaml

from tests.helpers.commands import REPOSITORY
from tests.helpers.doors import invoke
from tune.base.commands import COMMANDS
from tune.study.shared import STORAGE, STUDY

DEPLOY = REPOSITORY / "deploy"
TOKEN = "RAY_AUTH_TOKEN"
ADDRESSES = {STORAGE, STUDY, "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL_S3", TOKEN}


def document(name: str) -> dict[str, Any]:
    found = yaml.safe_load((DEPLOY / name).read_text())
    assert isinstance(found, dict)
    return found


def mistakes(name: str, schema: Any) -> list[str]:
    """What a schema does not take of a file, in short."""
    errors = jsonschema.validators.validator_for(schema)(schema).iter_errors(document(name))
    return [f"{error.json_path}: {error.message}" for error in errors]


def test_compose_takes_the_compose_file() -> None:
    builtin = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    assert mistakes("compose.yaml", json.loads(builtin.read_text())) == []


def test_its_secrets_are_asked_for_and_named_in_the_example() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?see deploy/example\.env\}", text("compose.yaml")))
    given = set(re.findall(r"^(\w+)=$", text("example.env"), re.MULTILINE))
    assert asked == given
    assert not re.search(r"\$\{\w+\}|\$\{\w+:-", text("compose.yaml"))


def test_its_nodes_have_all_addresses_and_nothing_listens_beyond_this_machine() -> None:
    services = document("compose.yaml")["services"]
    for name in ("head", "worker"):
        assert services[name]["environment"].keys() >= ADDRESSES
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def text(name: str) -> str:
    return (DEPLOY / name).read_text()


def test_kuberay_takes_the_job() -> None:
    schema = Path(__file__).with_name("kuberay.json")
    assert mistakes("rayjob.yaml", json.loads(schema.read_text())) == []
    cluster = document("rayjob.yaml")["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == version("ray")


class Refused(Exception):
    """As botocore's where nobody listens yet, which is no OSError."""


def test_buckets_are_made_as_soon_as_the_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    program = document("compose.yaml")["services"]["buckets"]["command"][-1]
    answers, made = [Refused("not yet"), OSError("nor now"), None], []

    def makedirs(name: str, **_: Any) -> None:
        if answers and (error := answers.pop(0)) is not None:
            raise error
        made.append(name)

    files = SimpleNamespace(makedirs=makedirs)
    monkeypatch.setitem(sys.modules, "s3fs", SimpleNamespace(S3FileSystem=lambda **_: files))
    monkeypatch.setattr("time.sleep", lambda _: None)
    exec(program, {})
    assert made == ["searches", "models"]
    answers[:] = [Refused("nobody listens")] * 60
    with pytest.raises(SystemExit, match="does not answer: nobody listens"):
        exec(program, {})


@pytest.mark.parametrize("role", ["head", "worker"])
def test_kubernetes_takes_its_pods(role: str) -> None:
    from kubernetes_validate.utils import latest_version, validate  # noqa: PLC0415

    cluster = document("rayjob.yaml")["spec"]["rayClusterSpec"]
    group = cluster["headGroupSpec"] if role == "head" else cluster["workerGroupSpecs"][0]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": role}, **group["template"]}
    validate(pod, latest_version(), strict=True)
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    (container,) = pod["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "resnet-tune"}}]


def test_the_secret_of_the_job_has_all_addresses() -> None:
    given = set(re.findall(r"--from-literal=(\w+)=", text("rayjob.yaml")))
    assert given >= ADDRESSES - {TOKEN}


def test_kuberay_makes_the_token_for_the_job_and_what_submits_it() -> None:
    assert document("rayjob.yaml")["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert "RAY_AUTH" not in text("rayjob.yaml")


def test_no_bounds_are_promised_that_nothing_would_use() -> None:
    cluster = document("rayjob.yaml")["spec"]["rayClusterSpec"]
    assert "enableInTreeAutoscaling" not in cluster
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] == group["replicas"] == group["maxReplicas"]


def test_ray_takes_the_cluster_on_machines_by_ssh() -> None:
    schema = files("ray") / "autoscaler" / "ray-schema.json"
    assert mistakes("ssh-cluster.yaml", json.loads(schema.read_text())) == []


def test_docker_takes_the_variables_of_machines_by_ssh() -> None:
    lines = [line for line in text("nodes.env").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*=\S*", line) for line in lines)
    assert {line.partition("=")[0] for line in lines} >= ADDRESSES
    assert "deploy/nodes.env" in text("ssh-cluster.yaml")
    options = document("ssh-cluster.yaml")["docker"]["run_options"]
    assert "--env-file=/etc/resnet-tune.env" in options


def test_a_login_shell_of_the_image_finds_its_commands(tmp_path: Path) -> None:
    """Ray runs what a cluster by SSH names in one, whose PATH is Debian's own at first."""
    (path,) = re.findall(r"^ENV PATH=(\S+) TUNE_CACHE", text("Dockerfile"), re.MULTILINE)
    (written,) = re.findall(r"echo '([^']+)' > /etc/profile\.d/\w+\.sh", text("Dockerfile"))
    command = ["sh", "-c", f'PATH=/usr/bin:/bin; {written}; echo "$PATH"']
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert found.strip() == path.replace("$PATH", "/usr/bin:/bin")


DEBIAN = {"ssh": "openssh-client", "scp": "openssh-client", "rsync": "rsync"}
"""The packages of what Ray calls to reach a machine."""


def test_the_image_has_what_its_clusters_call_in_it() -> None:
    """A head starts its workers from its own container, and KubeRay's probes call wget."""
    last = text("Dockerfile").rpartition("FROM ")[2]
    installed = re.findall(r"--no-install-recommends ([a-z \d-]+)", last)[0].split()
    runner = files("ray") / "autoscaler" / "_private" / "command_runner.py"
    called = set(re.findall(r'= \["(\w+)"', runner.read_text()))
    assert called >= {"ssh", "rsync"}
    assert {"procps", "wget"} | {DEBIAN[name] for name in called} <= set(installed)


@pytest.mark.parametrize("name", ["compose.yaml", "rayjob.yaml", "ssh-cluster.yaml"])
def test_trials_run_on_no_head(name: str) -> None:
    assert re.search(r"--num-cpus=0|num-cpus: \"0\"", text(name))


@pytest.mark.parametrize("name", ["compose.yaml", "rayjob.yaml", "ssh-cluster.yaml"])
def test_the_commands_are_commands_of_this_package(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = re.findall(r"resnet-tune ((?:search|doctor) --[^'\n]*)", text(name))
    assert found
    monkeypatch.setenv("RAY_ADDRESS", "")
    for line in found:
        command, *words = shlex.split(line)
        assert command in COMMANDS
        assert "--resume-or-start" in words
        done = invoke(f"tune.{command}", *words, "--print-config", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_image_is_built_of_the_lock_by_nobody_special() -> None:
    lines = text("Dockerfile").splitlines()
    assert [line for line in lines if line.startswith("USER")] == ["USER 1000"]
    assert lines.index("USER 1000") > max(n for n, line in enumerate(lines) if "RUN" in line)
    assert "pip install --constraint requirements.lock" in text("Dockerfile")
    extras = set(re.findall(r"\.\[([\w,]+)\]", text("Dockerfile"))[0].split(","))
    project = (REPOSITORY / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = \[$", project, re.MULTILINE) for extra in extras)
    locked = (REPOSITORY / "requirements.lock").read_text()
    for name in ("torch", "torchvision", "s3fs", "psycopg", "boto3"):
        assert re.search(rf"^{name}==", locked, re.MULTILINE), name


def test_the_image_gets_nothing_but_what_the_wheel_is_built_of() -> None:
    first, *others = [
        line for line in text("Dockerfile.dockerignore").splitlines() if not line.startswith("#")
    ]
    assert first == "*"
    taken = {line[1:] for line in others if line.startswith("!")}
    assert taken >= {"trainable", "tune", "configs", "pyproject.toml", "requirements.lock"}
    assert all((REPOSITORY / name).exists() for name in taken)
    assert not taken & {"data", "mlruns", "tests", "."}
