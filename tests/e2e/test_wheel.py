"""The wheel alone, in a new environment and an empty folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

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


def test_an_empty_folder_comes_to_a_labelled_picture(installed: Installed, tmp_path: Path) -> None:
    where = "import tune, trainable; print(tune.__file__, trainable.__file__)"
    done = installed.run("python", "-c", where, cwd=tmp_path)
    assert done.stdout.count(str(installed.folder)) == 2, done.stdout + done.stderr
    done = installed.run("resnet-tune", "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout[:12], done.stderr) == (0, "resnet-tune ", "")
    assert list(tmp_path.iterdir()) == []
    words = ("--config", "digits", "--num-samples", "1", *WITH_OWN_WEIGHTS)
    done = installed.run("resnet-tune", "search", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "weights  bundled" in done.stdout
    assert "resume   resnet-tune search --resume digits-" in done.stdout
    assert "Registered resnet18-digits version 1, alias champion" in done.stdout
    digits = load_digits()
    pixels = (digits.images[digits.target == 7][0] * 255 / 16).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "seven.png")
    done = installed.run("resnet-tune", "predict", "seven.png", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("seven.png: ")
