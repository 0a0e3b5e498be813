"""Configs by name, from any folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.commands import REPOSITORY
from tune.base.errors import ConfigError
from tune.config.loading import load_config
from tune.config.presets import find_config, presets


def test_every_file_of_configs_is_a_preset(in_tmp_path: Path) -> None:
    found = sorted((REPOSITORY / "configs").rglob("*.yaml"))
    files = [path for path in found if path.parent.name != "portfolios"]
    names = [str(path.relative_to(REPOSITORY / "configs").with_suffix("")) for path in files]
    assert presets() == sorted(names)
    assert {"digits", "image_folder", "recipes/from_scratch"} <= set(names)
    for name, path in zip(names, files, strict=True):
        assert find_config(Path(name)).samefile(path)


def test_without_a_config_the_digits_are_searched(in_tmp_path: Path) -> None:
    assert load_config() == load_config(Path("digits"))
    assert load_config().name == "digits"


def test_a_file_wins_over_the_preset_of_its_name(in_tmp_path: Path) -> None:
    (in_tmp_path / "digits").write_text("name: own")
    assert load_config(Path("digits")).name == "own"
    (in_tmp_path / "recipes").mkdir()  # a folder is no file
    assert find_config(Path("recipes/backbone")).name == "backbone.yaml"


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ("digit", "digits"),
        ("recipe/backbone", "recipes/backbone"),
        ("configs/mines.yaml", "configs/mine.yaml"),
    ],
)
def test_an_unknown_one_is_reported_with_the_nearest(
    given: str, nearest: str, in_tmp_path: Path
) -> None:
    (in_tmp_path / "configs").mkdir()
    (in_tmp_path / "configs" / "mine.yaml").touch()
    message = f"^--config {given}: no such file or preset; nearest: {nearest}$"
    with pytest.raises(ConfigError, match=message):
        find_config(Path(given))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("configs/image_folder.yaml", "image_folder"),
        ("configs/recipes/from_scratch.yaml", "recipes/from_scratch"),
        ("digits.yaml", "digits"),
    ],
)
def test_a_preset_that_is_named_by_its_file_is_reported_with_its_name(
    given: str, name: str, in_tmp_path: Path
) -> None:
    message = f"^--config {given}: no such file here; the preset of this name is --config {name}$"
    with pytest.raises(ConfigError, match=message):
        find_config(Path(given))


def test_a_mistake_in_a_preset_names_it(in_tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"augment\.policy=flip needs .* \(digits\)$"):
        load_config(Path("digits"), ["augment.policy=flip"])


def test_the_wheel_holds_them(tmp_path: Path) -> None:
    """Built by setuptools alone: pip would want a network for the build's own packages."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    for name in ("tune", "configs"):
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, source / name, symlinks=True, ignore=skip)
    code = "from setuptools import setup; setup()"
    subprocess.run(
        [sys.executable, "-c", code, "--quiet", "build", "--build-lib", str(tmp_path / "built")],
        cwd=source,
        capture_output=True,
        check=True,
    )
    folder = tmp_path / "built" / "tune" / "config" / "yaml"
    built = sorted(str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.yaml"))
    portfolios = [name for name in built if name.startswith("portfolios/")]
    assert [name for name in built if name not in portfolios] == presets()
    assert "portfolios/literature" in portfolios
    assert not any(path.is_symlink() for path in folder.rglob("*"))
