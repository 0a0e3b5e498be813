"""What a served model has MLflow's server do; `tests/e2e/test_serving.py` asks a real one."""

from __future__ import annotations

import json

import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from tune.models.served_model import _refuse_deep_json, _take_files


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


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        *(("image/jpeg", True), ("Image/PNG; charset=binary", True)),
        *(("application/octet-stream", True), ("text/csv", False), ("multipart/form-data", False)),
        (None, False),
    ],
)
def test_the_bytes_of_a_file_become_the_json_of_one_row(
    kind: str | None, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(scoring_server, "invocations", lambda *given: asked.append(given))
    _take_files()
    _take_files()  # of a model that is loaded again
    scoring_server.invocations(b"\xff\xd8", kind, "model", "schema")
    body = '{"dataframe_records": [{"image": "/9g="}]}'
    sent = (body, "application/json") if taken else (b"\xff\xd8", kind)
    assert asked == [(*sent, "model", "schema")]


def test_without_that_function_of_mlflows_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(scoring_server, "invocations")
    _take_files()
    assert not hasattr(scoring_server, "invocations")
