"""Scorers of every kind of model, against MLflow's `invocations()` on the same model in this process."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.pyfunc.scoring_server import invocations

from homeport.errors import HomeportError
from homeport.serving.refusal import Refusal
from homeport.serving.scoring.local import Local
from homeport.serving.scoring.scorer import Scorer
from homeport.serving.servable import Dialect, Request
from tests.programs.serving.scoring.models import WINE, Recording, X

Load = Callable[[str], Scorer]
JSON = "application/json"

PREDICTORS = {
    "xgboost": "compiled trees",
    "xgboost with zero missing": "compiled trees",  # its file does not keep it
    "xgboost classifier": "compiled trees",
    "xgboost booster": "xgboost",
    "xgboost margins": "compiled trees",
    "lightgbm": "lightgbm",
    "lightgbm classifier": "pyfunc",
    "sklearn forest": "compiled trees",
    "sklearn labels": "compiled trees",
    "sklearn pipeline": "sklearn",
    "sklearn boosting": "sklearn",
    "penguins": "pyfunc",
    "tensor": "sklearn",
    "onnx": "pyfunc",
    "mixed": "pyfunc",
    "no signature": "pyfunc",
}
NUMERIC = [name for name in PREDICTORS if name.startswith(("xgboost", "lightgbm", "sklearn"))]


def answer(scorer: Scorer, body: bytes, content_type: str = JSON) -> Any:
    question = scorer.parse(content_type, body)
    return json.loads(scorer.encode(scorer.predict([question])[0], wrapped=question.context is None))


def upstream(scorer: Scorer, body: bytes) -> Any:
    model = scorer._pyfunc.model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return json.loads(invocations(body, JSON, model, model.metadata.get_input_schema()).response)


@pytest.mark.parametrize("name", sorted(PREDICTORS))
def test_the_predictor_is_the_fastest_that_is_proven(scorers: Load, name: str) -> None:
    description = scorers(name).description
    assert description.predictor == PREDICTORS[name], description.why
    assert description.predictor == "compiled trees" or description.why


@pytest.mark.parametrize("name", [n for n in sorted(PREDICTORS) if n not in {"mixed", "no signature"}])
def test_the_input_example_is_answered_as_upstream_answers_it(scorers: Load, name: str) -> None:
    scorer = scorers(name)
    assert scorer.description.example is not None
    body = json.dumps(scorer.description.example).encode()
    assert answer(scorer, body) == upstream(scorer, body)
    assert not [w for w in scorer.description.warnings if "example" in w]


@pytest.mark.parametrize("name", NUMERIC)
def test_rows_in_any_number_and_with_missing_values_are_answered_as_upstream_answers_them(
    scorers: Load, name: str
) -> None:
    scorer = scorers(name)
    for rows in (1, 3, 200):
        data: list[list[Any]] = np.resize(X.to_numpy(), (rows, len(WINE))).tolist()
        body = json.dumps({"dataframe_split": {"columns": WINE, "data": data}}).encode()
        assert answer(scorer, body) == upstream(scorer, body)
        if name.startswith(("xgboost", "lightgbm")):
            data[0][2] = None
            body = json.dumps({"dataframe_split": {"columns": WINE, "data": data}}).encode()
            assert answer(scorer, body) == upstream(scorer, body)


@pytest.mark.parametrize("name", NUMERIC)
def test_many_threads_get_the_answers_that_one_gets(scorers: Load, name: str) -> None:
    scorer = scorers(name)
    bodies = [
        json.dumps({"dataframe_split": {"columns": WINE, "data": [row]}}).encode() for row in X.to_numpy()[:40].tolist()
    ]
    alone = [answer(scorer, body) for body in bodies]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda body: answer(scorer, body), bodies * 3)) == alone * 3


def test_questions_put_together_get_the_answers_that_they_get_alone(models: Callable[[str], Path]) -> None:
    scorer = Scorer.load(models("sklearn boosting"), name="m", version="1")
    scorer.coalesces = True  # whether it pays depends on the machine
    tables = [X.to_numpy()[at : at + rows].tolist() for at, rows in ((0, 1), (7, 3), (20, 1), (30, 2))]
    bodies = [json.dumps({"dataframe_split": {"columns": WINE, "data": rows}}).encode() for rows in tables]
    questions = [scorer.parse(JSON, body) for body in bodies]
    together = [json.loads(scorer.encode(prediction)) for prediction in scorer.predict(questions)]
    assert together == [upstream(scorer, body) for body in bodies]


def test_the_slow_way_hands_its_rows_to_the_fast_predictor(scorers: Load) -> None:
    scorer = scorers("xgboost")
    row = X.to_numpy()[0].tolist()
    texts = json.dumps({"dataframe_split": {"columns": WINE, "data": [list(map(str, row))]}}).encode()
    question = scorer.parse(JSON, texts)
    assert question.matrix
    np.testing.assert_array_equal(question.data, [row])
    assert answer(scorer, texts) == upstream(scorer, texts)


def test_csv_and_parquet_are_answered_as_json_is(scorers: Load, tmp_path: Path) -> None:
    frame = X.head(3)
    frame.to_parquet(tmp_path / "x.parquet")
    scorer = scorers("xgboost")
    expected = answer(scorer, json.dumps({"dataframe_split": frame.to_dict("split")}).encode())
    assert answer(scorer, frame.to_csv(index=False).encode(), "text/csv; charset=utf-8") == expected
    parquet = (tmp_path / "x.parquet").read_bytes()
    assert answer(scorer, parquet, "application/vnd.apache.parquet") == expected


def test_frames_from_another_protocol_become_arrays_where_they_can(scorers: Load) -> None:
    question = scorers("xgboost").parse_frame(X.head(2), None)
    assert question.matrix
    with pytest.raises(Refusal) as refused:
        scorers("xgboost").parse_frame(X.drop(columns="pH"), None)
    assert refused.value.status == 400
    assert "pH" in refused.value.message


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("llm", {"prompt": "hello", "factor": 3.0}),
        ("llm", {"inputs": {"prompt": ["hello"]}, "params": {"factor": 1}}),
        ("no signature", {"messages": [{"role": "user"}], "more": 1}), ("no signature", {"inputs": [1, 2]}),
        ("no signature", {"inputs": {"a": [1]}, "params": {"x": 1}}), ("hinted", {"inputs": [{"a": 1, "b": 2}]}),
        ("no signature", {"dataframe_records": [{"a": 1.5}]}),
    ],
)  # fmt: skip
def test_requests_to_language_models_and_hinted_models_are_answered_as_upstream_answers_them(
    scorers: Load, name: str, body: dict[str, Any]
) -> None:
    assert answer(scorers(name), json.dumps(body).encode()) == upstream(scorers(name), json.dumps(body).encode())


@pytest.mark.parametrize(
    "body", [{"inputs": [{"a": "secret"}]}, {"dataframe_records": [{"a": 1}]}, {"inputs": "secret"}]
)
def test_a_type_hint_that_refuses_is_the_callers_fault(scorers: Load, body: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        answer(scorers("hinted"), json.dumps(body).encode())
    assert refused.value.status == 400
    assert "secret" not in refused.value.message


def test_a_model_that_raises_is_our_fault_and_neither_trace_nor_data_are_told(scorers: Load) -> None:
    with pytest.raises(Refusal) as refused:
        answer(scorers("failing"), b'{"dataframe_records": [{"a": 42}]}')
    assert (refused.value.status, refused.value.code) == (500, "INTERNAL_ERROR")
    assert refused.value.message == "the model raised RuntimeError"


def test_code_of_a_users_own_is_asked_nothing_but_its_example_at_load(models: Callable[[str], Path]) -> None:
    path = models("recording")
    Recording.seen.clear()
    scorer = Scorer.load(path, name="recording", version="1")
    assert set(Recording.seen) == {0.5}
    assert scorer.matrix is not None
    assert not scorer.coalesces


@pytest.mark.parametrize("more", [{}, {"index": [7, 8]}, {"index": ["x", "y"]}, {"index": [0, 1]}])
def test_code_of_a_users_own_sees_the_row_index_that_upstream_gives_it(scorers: Load, more: dict[str, Any]) -> None:
    body = json.dumps({"dataframe_split": {"columns": ["a"], "data": [[1.5], [2.5]], **more}}).encode()
    assert answer(scorers("recording"), body) == upstream(scorers("recording"), body)


def test_inputs_that_the_signature_does_not_name_leave_no_line_in_the_log(
    scorers: Load, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps({"dataframe_records": [{"a": 1.5, "unknown": 2, "text": "x"}], "params": {"unknown": 1}}).encode()
    assert answer(scorers("recording"), body) == {"predictions": ["0"]}
    assert "unknown" not in capfd.readouterr().err + caplog.text


def test_strict_refuses_what_upstream_casts(scorers: Load) -> None:
    body = json.dumps({"dataframe_split": {"columns": WINE, "data": [["1.5", *([1.0] * 6)]]}}).encode()
    assert answer(scorers("xgboost"), body)
    with pytest.raises(Refusal) as refused:
        scorers("xgboost").parse(JSON, body, strict=True)
    assert "fixed acidity" in refused.value.message
    csv = b"long,integer,double,string,boolean\n1,2.5,3,x,true\n"
    with pytest.raises(Refusal):
        scorers("mixed").parse("text/csv", csv, strict=True)


def test_a_scorer_estimates_what_rows_cost_and_says_when_it_is_fast(scorers: Load) -> None:
    scorer = scorers("xgboost")
    assert scorer.inline
    assert 0 < scorer.seconds(1) <= scorer.seconds(10_000)
    assert scorer.description.row_seconds == scorer.seconds(1)
    assert not scorer.coalesces


def test_the_description_is_plain_data(scorers: Load) -> None:
    for name in ("xgboost", "mixed", "no signature", "tensor"):
        description = scorers(name).description
        json.dumps([description.signature, description.example, list(description.warnings)])
    assert scorers("xgboost").description.flavors == ("python_function", "xgboost")
    assert any("no signature" in w for w in scorers("no signature").description.warnings)
    assert any("no input example" in w for w in scorers("mixed").description.warnings)


def test_requirements_that_are_not_met_are_told_and_do_not_stop_the_model(models: Callable[[str], Path]) -> None:
    path = models("failing")
    requirements = path / "requirements.txt"
    before = requirements.read_text()
    requirements.write_text("numpy==0.1\nno-such-package==1\n")
    try:
        warned = " ".join(Scorer.load(path, name="m", version="2").description.warnings)
    finally:
        requirements.write_text(before)
    assert "numpy==0.1" in warned
    assert "no-such-package" in warned


@pytest.mark.parametrize("damage", ["no MLmodel", "no model"])
def test_a_model_that_cannot_be_loaded_is_a_homeport_error(
    models: Callable[[str], Path], tmp_path: Path, damage: str
) -> None:
    if damage == "no model":
        (tmp_path / "MLmodel").write_text((models("xgboost") / "MLmodel").read_text())
    with pytest.raises(HomeportError) as failed:
        Scorer.load(tmp_path, name="broken", version="3")
    assert failed.value.code == "MODEL_NOT_LOADED"
    assert "broken" in failed.value.what


def test_a_model_that_does_not_answer_its_own_example_is_served_with_a_warning(
    models: Callable[[str], Path], tmp_path: Path
) -> None:
    import shutil

    path = tmp_path / "copy"
    shutil.copytree(models("failing"), path)
    example = path / "serving_input_example.json"
    example.write_text(example.read_text().replace("0.5", "5.5"))
    scorer = Scorer.load(path, name="m", version="1")
    assert any("does not answer its own input example" in w for w in scorer.description.warnings)


def test_a_local_servable_speaks_mlflows_protocol(models: Callable[[str], Path]) -> None:
    servable = Local.load(models("llm"), name="llm", version="1")
    for body, unwrapped in ((b'{"prompt": "x"}', True), (b'{"inputs": {"prompt": ["x"]}}', False)):
        request = Request(Dialect.MLFLOW, JSON, body)
        question = servable.parse(request)
        reply = servable.encode(request, question, servable.predict([question])[0])
        assert ("predictions" not in json.loads(reply.body)) is unwrapped
    servable.close()
