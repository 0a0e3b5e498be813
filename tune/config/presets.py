"""The configs that come with the package, by name: `digits`, `recipes/from_scratch`."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Final

from trainable.files.places import is_file, is_folder
from tune.base.errors import ConfigError, squeeze

FOLDER: Final = Path(__file__).parent / "yaml"
"""In a checkout a link to `configs/` at its top level; in a wheel a copy of it."""

PORTFOLIOS: Final = "portfolios"
"""The folder in it of what is no preset but a portfolio."""

DEFAULT: Final = "digits"
"""The preset that a command takes where none is given."""


def find_config(given: Path) -> Path:
    """The file that `--config` names: that file, or else the preset of this name.

    Args:
        given: A YAML file, or the name of a preset.

    Raises:
        ConfigError: It is neither; names the nearest file or preset.
    """
    preset = FOLDER / f"{given}.yaml"
    found = next((path for path in (given, preset) if is_file(path)), None)
    if found is not None:
        return found
    if is_folder(given) and str(given) != ".":
        raise ConfigError(
            f"--config {squeeze(given)}: it is a folder; for one of images: --config image_folder "
            f"data.root={squeeze(given)}"
        )
    named = str(given).removesuffix(".yaml").removeprefix("configs/")
    if named in presets():
        raise ConfigError(
            f"--config {squeeze(given)}: no such file here; the preset of this name is "
            f"--config {named}"
        )
    files = map(str, Path("configs").glob("**/*.yaml"))
    near = difflib.get_close_matches(str(given), [*files, *presets()], 1)
    hint = f"; nearest: {near[0]}" if near else ""
    raise ConfigError(f"--config {squeeze(given)}: no such file or preset{hint}")


def presets() -> list[str]:
    """The names of all presets."""
    found = (path.relative_to(FOLDER).with_suffix("") for path in FOLDER.rglob("*.yaml"))
    return sorted(str(name) for name in found if name.parts[0] != PORTFOLIOS)


def find_portfolio(given: str) -> Path:
    """The file that `strategy.portfolio` names: that file, or else the portfolio of this name.

    Raises:
        ConfigError: It is neither; names the nearest portfolio.
    """
    shipped = FOLDER / PORTFOLIOS
    found = next((p for p in (Path(given), shipped / f"{given}.yaml") if is_file(p)), None)
    if found is not None:
        return found
    known = sorted(path.stem for path in shipped.glob("*.yaml"))
    raise ConfigError(
        f"strategy.portfolio={squeeze(given)}: no such file or portfolio; there is none, "
        f"{', '.join(known)}"
    )
