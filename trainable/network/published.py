"""Published weights: what is here already, what can be downloaded, and how it is checked.

An address is that of a file whose name holds a hash, or `hf://OWNER/REPOSITORY/FILE` on Hugging
Face's hub, which states the SHA-256 of each file of weights. Downloads are checked by these, and
what the hub's client has kept under its SHA-256 is checked whenever it is read.
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
_SOCKS: Final = 1080


def read(address: str) -> Any:
    """The state dict at an address, from this machine's cache or else downloaded.

    Raises:
        ValueError: What is on the disk is not what was published.
        OSError: It cannot be had.
    """
    if not address.startswith(HUB):
        return load_state_dict_from_url(address, progress=False, check_hash=True, weights_only=True)
    return load_file(_from_hub(*_repository(address)))


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
    url, place, on_hub = address, str(_torchs(address)), address.startswith(HUB)
    if on_hub:
        from huggingface_hub import constants  # noqa: PLC0415 - an extra

        url, place = constants.ENDPOINT, f"{address} in {constants.HF_HUB_CACHE}"
        if constants.HF_HUB_OFFLINE:
            return f"HF_HUB_OFFLINE is set, and {place} is not there"
    if (server := _server(url, takes_all_proxy=on_hub)) is None:
        return f"{url} is no address, https://HOST, and {place} is not there"
    if _answers(*server):
        return None
    return f"{server[0]} cannot be reached, and {place} is not there"


def _torchs(url: str) -> Path:
    """Where torch.hub keeps the file."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name


def _repository(address: str) -> tuple[str, str]:
    """The names of the repository and of the file in it."""
    owner, name, file = address.removeprefix(HUB).split("/", 2)
    return f"{owner}/{name}", file


def _from_hub(repository: str, file: str) -> Path:
    """The file in the hub's cache. What is there is not asked for again.

    Raises:
        ValueError: It is damaged, or the hub does not state its SHA-256.
        OSError: It cannot be had.
    """
    address = f"{HUB}{repository}/{file}"
    try:
        path, stated = (_kept if is_here(address) else _downloaded)(repository, file)
    except Exception as error:  # its client's own, or those of the HTTP library below it
        kind = ValueError if isinstance(error, ValueError) else OSError
        raise kind(f"{address}: {first_line(error.__cause__ or error)}") from error
    if stated is not None and _sha256(path) != stated:
        raise ValueError(f"{path} is damaged, its SHA-256 is another: delete {path.resolve()}")
    return path


def _kept(repository: str, file: str) -> tuple[Path, str | None]:
    """A file of the cache, and its SHA-256 as the hub stated it.

    The cache is made of links to files that are named by that. A copy of one may have none: it is
    taken as it is, as torch.hub's files are.
    """
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - an extra

    path = Path(hf_hub_download(repository, file, local_files_only=True))
    return path, path.readlink().name if path.is_symlink() else None


def _downloaded(repository: str, file: str) -> tuple[Path, str]:
    from huggingface_hub import (  # noqa: PLC0415 - an extra
        get_hf_file_metadata,
        hf_hub_download,
        hf_hub_url,
    )

    stated = get_hf_file_metadata(hf_hub_url(repository, file)).etag
    if stated is None or not _SHA256.fullmatch(stated):
        raise ValueError("no SHA-256 is stated of it: give a file of your own")
    return Path(hf_hub_download(repository, file)), stated


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _server(url: str, *, takes_all_proxy: bool) -> tuple[str, int] | None:
    """Host and port that a download connects to, which may be a proxy's; None for no address.

    `ALL_PROXY` is known to the hub's client, and not to urllib, which torch.hub downloads with.
    """
    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or (proxies.get("all") if takes_all_proxy else None)
    if proxy and not proxy_bypass(parts.netloc):
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}", scheme="http")
    if parts.hostname is None:
        return None
    return parts.hostname, parts.port or _PORTS.get(parts.scheme, _SOCKS)


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
