"""Whether what a search talks to can be reached: Ray's ports, a cluster, and weights."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from trainable.config import ModelConfig
from trainable.network.weights import resolve_weights
from tune.base.finding import Finding

_SECONDS: Final = 2.0
"""How long to wait for an address."""
_SOCKET: Final = "/ray/session_2026-01-31_12-00-00_123456_1234567/sockets/plasma_store"
"""The longest name of Ray's sockets."""
_LONGEST_SOCKET: Final = 107
"""The longest name of a Unix socket in bytes, one less than in Linux's `sockaddr_un`."""


def check_ray() -> Finding:
    """The cluster that `RAY_ADDRESS` names, else whether a local Ray can listen on loopback."""
    address = os.environ.get("RAY_ADDRESS")
    if address and address != "local":
        return _check_cluster(address)
    socket_path = f"{_ray_folder()}{_SOCKET}"
    if len(socket_path) > _LONGEST_SOCKET:
        message = f"{_ray_folder()} is too long a name for the sockets that Ray creates there"
        return Finding("ray", "fail", message, "export RAY_TMPDIR=/tmp")
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            socket.create_connection(("127.0.0.1", port), timeout=_SECONDS).close()
    except OSError as error:
        message = f"nothing can listen on 127.0.0.1, as a local Ray must ({error})"
        return Finding("ray", "fail", message, "bring the loopback device up: ip link set lo up")
    return Finding("ray", "ok", "started on 127.0.0.1 by each search")


def _check_cluster(address: str) -> Finding:
    fix = "unset RAY_ADDRESS, and each search starts a Ray of its own; or start the cluster"
    found = _running_cluster() if address == "auto" else address
    if found is None:
        return Finding("ray", "fail", f"RAY_ADDRESS={address}: no cluster runs here", fix)
    parts = urlsplit(found if "://" in found else f"//{found}")
    try:
        host, port = parts.hostname, parts.port or 10001  # Ray's own, of ray://
    except ValueError:
        host, port = None, 0
    if host is None:
        wrong = f"RAY_ADDRESS={address} is no address of the form host:6379"
        return Finding("ray", "fail", wrong, fix)
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        message = f"RAY_ADDRESS={address}: {host} does not answer on port {port} ({error})"
        return Finding("ray", "fail", message, fix)
    return Finding("ray", "ok", f"the cluster at {found} answers (RAY_ADDRESS)")


def _running_cluster() -> str | None:
    """The address that `ray start` has written on this machine, which `auto` stands for."""
    with suppress(OSError):
        return (_ray_folder() / "ray" / "ray_current_cluster").read_text().strip() or None
    return None


def _ray_folder() -> Path:
    """The folder of Ray's own files."""
    return Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")  # noqa: S108


def check_weights(model: ModelConfig | None = None) -> Finding:
    """Whether first weights are here or can be downloaded, checked within five seconds.

    Args:
        model: Whose weights; by default ImageNet's, which a search of photographs starts from.
    """
    names, arch = (["imagenet"], "resnet18") if model is None else (model.weights, model.arch)
    try:
        found = resolve_weights(names, arch)
    except ValueError as error:
        fix = "give a file, model.weights=FILE, or 'model.weights=[imagenet,bundled]'"
        if model is None:
            message = f"those that --config image_folder starts from are not to be had: {error}"
            return Finding("weights", "warn", message, fix)
        return Finding("weights", "fail", str(error), fix)
    if model is None:
        return Finding("weights", "ok", "ImageNet's for a ResNet18 are here or can be downloaded")
    return Finding("weights", "ok", f"{found} for {arch} are available")
