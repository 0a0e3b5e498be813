"""What a served model has MLflow's server do; `tests/e2e/test_serving.py` asks a real one."""

from __future__ import annotations

import json

import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from tune.models.served_model import _refuse_deep_json


@pytest.mark.parametrize("text", [200_000 * "[", 200_000 * '{"a": '], ids=["lists", "objects"])
def test_json_that_is_nested_too_deep_is_a_mistake_of_the_client(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring_server, "_decode_json_input", scoring_server._decode_json_input)
    _refuse_deep_json()
    with pytest.raises(MlflowException) as caught:
        scoring_server._parse_json_data(text, None, None)
    assert caught.value.get_http_status_code() == 400
    assert json.loads(caught.value.serialize_as_json())["message"] == "the JSON is nested too deep"
    assert scoring_server._decode_json_input('{"inputs": [1]}') == {"inputs": [1]}
