"""What a search is decided to be before its first trial: its data and its weights."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from trainable.backbone import build
from trainable.config import ModelConfig
from trainable.datasets import load_dataset
from trainable.pretrained import load_weights, resolve_weights, state_hash
from tune.config import SearchConfig
from tune.home import Search
from tune.loading import ConfigError
from tune.ranges import Choices


def settle(config: SearchConfig, name: str, console: Console) -> Search:
    """Check the data and choose the weights, once for all trials.

    Raises:
        ConfigError: Either cannot be had, or they do not fit.
    """
    try:
        weights = resolve_weights(config.model.weights, *config.archs)
        dataset = load_dataset(config.data)
        console.print(f"weights  {weights}")
        for arch in config.archs:
            # Trained in full, a network takes any weights of its shape; the frozen part is checked.
            build(arch, len(dataset.classes), _least_depth(config), weights)
        weights_hash = None if weights == "random" else hash_weights(weights, config.archs)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    sizes = " + ".join(f"{len(dataset.split(part))} {part}" for part in ("train", "val", "test"))
    console.print(f"data     {config.data.source}: {sizes} images, {len(dataset.classes)} classes")
    if dataset.skipped:
        console.print(f"         {dataset.skipped} files are no images and were left out")
    model = ModelConfig(**{**config.model.model_dump(), "weights": weights})
    return Search(
        name=name,
        config=config.model_copy(update={"model": model}),
        data_fingerprint=dataset.fingerprint,
        weights_hash=weights_hash,
    )


def hash_weights(weights: str, archs: Sequence[str]) -> str:
    """SHA-256 (hex) of the first weights; `ARCH=HASH` for each, of several architectures."""
    hashes = {arch: state_hash(load_weights(weights, arch)) for arch in archs}
    if len(hashes) == 1:
        return hashes[archs[0]]
    return " ".join(f"{arch}={digest}" for arch, digest in hashes.items())


def hash_of_arch(weights_hash: str, arch: str) -> str:
    """Of what :func:`hash_weights` gave, the hash of one architecture's weights."""
    hashes = dict(part.split("=") for part in weights_hash.split() if "=" in part)
    return hashes.get(arch, weights_hash)


def check_unchanged(before: Search, now: Search) -> None:
    """Check that trials of now can be compared with those of before.

    Raises:
        ConfigError: They are of other images or weights.
    """
    for what, then, found in (
        ("data", before.data_fingerprint, now.data_fingerprint),
        ("weights", before.weights_hash, now.weights_hash),
    ):
        if then != found:
            raise ConfigError(
                f"search {before.name}: its {what} have changed since it was begun, and its trials "
                "could not be compared: put them back, or begin another search"
            )


def _least_depth(config: SearchConfig) -> int:
    """The depth at which most of the network is frozen."""
    searched = config.space.get("model.unfreeze_depth")
    if searched is None:
        return config.model.unfreeze_depth
    return int(min(searched.choices if isinstance(searched, Choices) else [searched.low]))
