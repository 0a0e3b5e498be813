"""Published weights: what is here already, what can be downloaded, and how it is checked.

An address is that of a file whose name holds a hash, which `torch.hub` checks, or
`hf://OWNER/REPOSITORY/FILE` on Hugging Face's hub, whose SHA-256 the hub states and
:func:`read` checks.
"""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import torch
from safetensors.torch import load_file
from torch.hub import load_state_dict_from_url

from trainable.base.errors import first_line

HUB: Final = "hf://"
REACH_SECONDS: Final = 5.0
"""How long a download's server may take to answer before it counts as unreachable."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_PORTS: Final = {"http": 80, "https": 443}


def read(address: str) -> Any:
    """The state dict at an address, from this machine's cache or else downloaded.

    Raises:
        ValueError: What is on the disk is not what was published.
        OSError: It cannot be had.
    """
    if not address.startswith(HUB):
        return load_state_dict_from_url(address, progress=False, check_hash=True, weights_only=True)
    path = _from_hub(address)
    _check(path)
    return load_file(path)


def is_here(address: str) -> bool:
    """Whether :func:`read` needs no network."""
    if not address.startswith(HUB):
        return _torchs(address).is_file()
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - an extra

    return isinstance(try_to_load_from_cache(*_repository(address)), str)


def why_not(address: str) -> str | None:
    """Why :func:`read` would fail, decided within :data:`REACH_SECONDS`; None where it would not.

    A server that answers is taken to have the file.
    """
    if is_here(address):
        return None
    url, place = address, str(_torchs(address))
    if address.startswith(HUB):
        from huggingface_hub import constants  # noqa: PLC0415 - an extra

        url, place = constants.ENDPOINT, f"{address} in {constants.HF_HUB_CACHE}"
        if constants.HF_HUB_OFFLINE:
            return f"HF_HUB_OFFLINE is set, and {place} is not there"
    host, port = _server(url)
    if _answers(host, port):
        return None
    return f"{host} cannot be reached, and {place} is not there"


def _torchs(url: str) -> Path:
    """Where torch.hub keeps the file."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name


def _repository(address: str) -> tuple[str, str]:
    """The names of the repository and of the file in it."""
    owner, name, file = address.removeprefix(HUB).split("/", 2)
    return f"{owner}/{name}", file


def _from_hub(address: str) -> Path:
    """The file in the hub's cache. What is there is not asked for again."""
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - an extra

    try:
        return Path(hf_hub_download(*_repository(address), local_files_only=is_here(address)))
    except Exception as error:  # its client's own, or those of the HTTP library below it
        raise OSError(f"{address}: {first_line(error.__cause__ or error)}") from error


def _check(path: Path) -> None:
    """Check a file of the hub's cache, where it is a link to one that is named by its SHA-256.

    Raises:
        ValueError: Its content is another, or the name is no such hash.
    """
    stated = path.readlink().name if path.is_symlink() else ""
    if not _SHA256.fullmatch(stated):
        raise ValueError(f"nothing states the SHA-256 of {path}: give a file of your own")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != stated:
        raise ValueError(f"{path} is damaged, its SHA-256 is another: delete {path.resolve()}")


def _server(url: str) -> tuple[str, int]:
    """Host and port that a download connects to, which may be a proxy's."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.netloc):
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}", scheme="http")
    assert parts.hostname is not None, url
    return parts.hostname, parts.port or _PORTS[parts.scheme]


def _answers(host: str, port: int) -> bool:
    """Whether `host` takes connections, decided within :data:`REACH_SECONDS`.

    Looking up a name has no timeout of its own, so it happens in a thread that a process
    can leave behind.
    """
    answered = threading.Event()

    def connect() -> None:
        with suppress(OSError):
            socket.create_connection((host, port), timeout=REACH_SECONDS).close()
            answered.set()

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(REACH_SECONDS)
    return answered.is_set()
