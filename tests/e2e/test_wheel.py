"""The wheel alone, in a new environment and an empty folder.

`test_readme.py` searches with it, and serves what it found.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.commands import REPOSITORY, SMALL
from tests.helpers.wheels import Installed

pytestmark = pytest.mark.slow

WITH_OWN_WEIGHTS = [word for word in SMALL if not word.startswith("model.weights=")]


def test_the_wheel_holds_weights_presets_and_pages(installed: Installed) -> None:
    def named(folder: str, ending: str) -> set[str]:
        return {
            name.removeprefix(f"{folder}/")
            for name in installed.files
            if name.startswith(f"{folder}/") and name.endswith(ending)
        }

    configs = REPOSITORY / "configs"
    own = {str(path.relative_to(configs)) for path in configs.rglob("*.yaml")}
    assert named("tune/config/yaml", ".yaml") == own
    assert named("trainable/weights", "") == {
        path.name for path in (REPOSITORY / "trainable" / "weights").iterdir()
    }
    assert named("trainable/weights", ".safetensors") == {"resnet18-cifar10.safetensors"}
    templates = REPOSITORY / "tune" / "reporting" / "templates"
    assert named("tune/reporting/templates", "") == {path.name for path in templates.iterdir()}
    assert named("tune/.streamlit", "") == {"config.toml"}
    assert {name.split("/")[0].split("-")[0] for name in installed.files} == {
        *("tune", "trainable", "resnet_tune")
    }


def test_an_empty_folder_comes_to_a_trained_network(installed: Installed, tmp_path: Path) -> None:
    where = "import tune, trainable; print(tune.__file__, trainable.__file__)"
    done = installed.run("python", "-c", where, cwd=tmp_path)
    assert done.stdout.count(str(installed.folder)) == 2, done.stdout + done.stderr
    done = installed.run("resnet-tune", "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout[:12], done.stderr) == (0, "resnet-tune ", "")
    assert list(tmp_path.iterdir()) == []
    words = ("--config", "digits", "--save", "own.safetensors", *WITH_OWN_WEIGHTS)
    done = installed.run("resnet-tune", "debug", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "epoch   3/3" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["own.safetensors"]
