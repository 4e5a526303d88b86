"""The same requests to `mlflow models serve` and to a `Scorer`: the same kind of status, the same predictions.

Every intended difference stands in DIFFERENCES and in docs/reference/scoring.md.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeport.serving.refusal import Refusal
from homeport.serving.scoring.scorer import Scorer
from tests.programs.serving.scoring.models import WINE, X
from tests.programs.serving.scoring.upstream import Outcome, Upstream, compact, serving, without_nan

pytestmark = pytest.mark.slow

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
ROW = X.to_numpy()[0].tolist()
MIXED_ROW = {
    "long": 7,
    "integer": 3,
    "double": 1.5,
    "string": "a",
    "boolean": True,
    "when": "2026-11-21T01:02:03",
    "float": 0.1,
}

Request = tuple[str | None, bytes]
Pair = tuple[Scorer, Upstream]

# (upstream's kind of status, ours): what each means stands in docs/reference/scoring.md.
DIFFERENCES = {
    "no content type": (5, 4),
    "request that upstream's parser falls over": (5, 4),
    "model that raises": (4, 5),
}


def ours(scorer: Scorer, request: Request) -> Outcome:
    content_type, body = request
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            question = scorer.parse(content_type, body)
            reply = scorer.encode(scorer.predict([question])[0], wrapped=question.context is None)
        except Refusal as refused:
            return Outcome(refused.status // 100, raised=refused.code == "INTERNAL_ERROR")
    return Outcome(2, json.loads(reply))


@pytest.fixture(scope="module")
def pairs(
    models: Callable[[str], Path], scorers: Callable[[str], Scorer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Pair]]:
    logs, names = tmp_path_factory.mktemp("logs"), ("xgboost", "mixed", "tensor", "failing")
    with ExitStack() as stack:
        waits = {name: stack.enter_context(serving(models(name), logs / f"{name}.log")) for name in names}
        yield {name: (scorers(name), wait()) for name, wait in waits.items()}


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def split(columns: Any, *rows: Any, **more: Any) -> Request:
    return JSON, compact({"dataframe_split": {"columns": columns, "data": list(rows), **more}})


def records(*rows: Any, form: str = "dataframe_records", **more: Any) -> Request:
    return JSON, compact({form: list(rows), **more})


def mixed(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**MIXED_ROW, **changes}.items() if value is not ...}


WINE_REQUESTS: dict[str, Request] = {
    "split": split(WINE, ROW),
    "split with index": split(WINE, ROW, ROW, index=[5, 5]),
    "split with index of texts": split(WINE, ROW, ROW, index=["a", "b"]),
    "split with index too long": split(WINE, ROW, index=[1, 2]),
    "split reordered": split(WINE[::-1], ROW[::-1]),
    "split with more columns": split(["x", *WINE], ["text", *ROW]),
    "split without columns": (JSON, compact({"dataframe_split": {"data": [ROW]}})),
    "split without data": (JSON, compact({"dataframe_split": {"columns": WINE}})),
    "split with other keys": split(WINE, ROW, dtype="x"),
    "split as list": (JSON, compact({"dataframe_split": [ROW]})),
    "split without rows": split(WINE),
    "split with ragged rows": split(WINE, ROW, ROW[:3]),
    "split with columns twice": split([*WINE, WINE[0]], [*ROW, 1.0]),
    "split with columns missing": split(WINE[1:], ROW[1:]),
    "records": records(dict(zip(WINE, ROW, strict=True))),
    "records of different keys": records(dict(zip(WINE, ROW, strict=True)), {WINE[0]: 1.0}),
    "records as dict": (JSON, compact({"dataframe_records": {"a": 1}})),
    "records empty": records(),
    "instances of records": records(dict(zip(WINE, ROW, strict=True)), form="instances"),
    "instances of lists": records(ROW, form="instances"),
    "inputs by column": (JSON, compact({"inputs": {name: [v, v] for name, v in zip(WINE, ROW, strict=True)}})),
    "inputs by column, one number": (JSON, compact({"inputs": dict(zip(WINE, ROW, strict=True))})),
    "inputs by column, one number, and more": (JSON, compact({"inputs": {**dict.fromkeys(WINE, 1.0), "x": 1.0}})),
    "inputs by column and more": (JSON, compact({"inputs": {**{name: [1.0] for name in WINE}, "x": [1.0]}})),
    "inputs by column, uneven": (JSON, compact({"inputs": {**{n: [1.0] for n in WINE}, WINE[0]: [1.0, 2.0]}})),
    "inputs of records": records(dict(zip(WINE, ROW, strict=True)), form="inputs"),
    "whole numbers": split(WINE, [1, 2, 3, 4, 5, 6, 7]),
    "whole numbers beyond 64 bits": split(WINE, [2**70, 2, 3, 4, 5, 6, -(2**70)]),
    "booleans": split(WINE, [True, *ROW[1:]], [False, *ROW[1:]]),
    "texts of numbers": split(WINE, ["1.5", *ROW[1:]]),
    "text": split(WINE, ["high", *ROW[1:]]),
    "null": split(WINE, [None, *ROW[1:]], ROW),
    "only nulls": split(WINE, [None] * 7),
    "NaN and Infinity": split(WINE, [float("nan"), float("inf"), *ROW[2:]]),
    "beyond float32": split(WINE, [1e39, *ROW[1:]]),
    "beyond float64": (JSON, split(WINE, ROW)[1].replace(str(ROW[0]).encode(), b"1e400", 1)),
    "list in a cell": split(WINE, [[1.0], *ROW[1:]]),
    "two forms": (JSON, compact({"inputs": [ROW], "instances": [ROW]})),
    "no form": (JSON, compact({"columns": WINE, "data": [ROW]})),
    "params that the model does not take": records(dict(zip(WINE, ROW, strict=True)), params={"a": 1}),
    "params that are no object": records(dict(zip(WINE, ROW, strict=True)), params=[1]),
    "more keys": records(dict(zip(WINE, ROW, strict=True)), comment="x"),
    "signature_name": records(ROW, form="instances", signature_name="serving_default"),
    "list": (JSON, b"[1]"),
    "text body": (JSON, b'"x"'),
    "no JSON": (JSON, b"{"),
    "empty": (JSON, b""),
    "not UTF-8": (JSON, b'{"inputs": "\xff"}'),
    "UTF-16": (JSON, split(WINE, ROW)[1].decode().encode("utf-16")),
    "duplicate keys": (JSON, b'{"inputs": 1, ' + split(WINE, ROW)[1][1:-1] + b', "inputs": 2}'),
    "charset": ("application/json; charset=UTF-8", split(WINE, ROW)[1]),
    "other charset": ("application/json; charset=latin-1", split(WINE, ROW)[1]),
    "other parameter": ("application/json; format=pandas-split", split(WINE, ROW)[1]),
    "other type": ("text/plain", b"1"),
    "csv": (CSV, X.head(3).to_csv(index=False).encode()),
    "csv with index": (CSV, X.head(3).to_csv().encode()),
    "csv without a column": (CSV, X[WINE[1:]].head(3).to_csv(index=False).encode()),
    "csv of text": (CSV, b"pH\nhigh\n"),
    "csv empty": (CSV, b""),
    "csv not UTF-8": (CSV, b"\xff\xfe"),
    "parquet": (PARQUET, parquet(X.head(3))),
    "parquet of float32": (PARQUET, parquet(X.head(3).astype("float32"))),
    "parquet of int64": (PARQUET, parquet(X.head(3).astype("int64"))),
    "no parquet": (PARQUET, b"PAR1"),
    "llm": (JSON, compact({"prompt": "x"})),
}  # fmt: skip

MIXED_REQUESTS: dict[str, Request] = {
    "all": records(MIXED_ROW),
    "optional ones missing": records(mixed(when=..., float=...)),
    "optional one null": records(mixed(when=None, float=None)),
    "required one missing": records(mixed(string=...)),
    "required one null": records(mixed(long=None)),
    "null among numbers": records(MIXED_ROW, mixed(integer=None)),
    "null text": records(MIXED_ROW, mixed(string=None)),
    "null boolean": records(mixed(boolean=None)),
    "fraction for a whole number": records(mixed(integer=3.7)),
    "whole fraction": records(mixed(integer=3.0)),
    "beyond 32 bits": records(mixed(integer=2**31)),
    "beyond 53 bits": records(mixed(long=2**53 + 1)),
    "beyond 64 bits": records(mixed(long=2**64)),
    "beyond 80 bits": records(mixed(long=2**80)),
    "float beyond 64 bits": records(mixed(long=1e30)),
    "text number": records(mixed(long="12")),
    "boolean as number": records(mixed(boolean=1)),
    "boolean as text": records(mixed(boolean="false")),
    "number as text": records(mixed(string=5)),
    "numbers and texts": records(mixed(string=5), MIXED_ROW),
    "date": records(mixed(when="2026-11-21")),
    "date with zone": records(mixed(when="2026-11-21T01:02:03Z")),
    "date as number": records(mixed(when=1732147200000)),
    "no date": records(mixed(when="yesterday")),
    "object in a cell": records(mixed(string={"a": 1})),
    "params": records(MIXED_ROW, params={"factor": 3.5, "names": ["x", "y"]}),
    "params of whole numbers": records(MIXED_ROW, params={"factor": 3}),
    "params of other names": records(MIXED_ROW, params={"other": 3}),
    "params of other types": records(MIXED_ROW, params={"factor": "much"}),
    "params of other shapes": records(MIXED_ROW, params={"names": "x"}),
    "params null": records(MIXED_ROW, params=None),
    "param null": records(MIXED_ROW, params={"factor": None}),
    "params as list": records(MIXED_ROW, params=[1]),
    "inputs of records": records(MIXED_ROW, mixed(when=None), form="inputs"),
    "instances": records(MIXED_ROW, MIXED_ROW, form="instances"),
    "inputs by column": (JSON, compact({"inputs": {k: [v] for k, v in MIXED_ROW.items()}})),
    "inputs by column without optional ones": (
        JSON, compact({"inputs": {key: [value] for key, value in mixed(when=..., float=...).items()}}),
    ),
    "csv": (CSV, b"long,integer,double,string,boolean\n1,2,3.5,x,True\n4,5,6,y,False\n"),
    "csv with a gap": (CSV, b"long,integer,double,string,boolean\n1,2,,x,True\n"),
    "csv with a gap in whole numbers": (CSV, b"long,integer,double,string,boolean\n1,,2,x,True\n"),
    "csv beyond 32 bits": (CSV, b"long,integer,double,string,boolean\n1,4294967296,2,x,True\n"),
    "parquet": (PARQUET, parquet(pd.DataFrame([mixed(when=..., float=...)]).astype({"integer": "int32"}))),
    "parquet of wider numbers": (PARQUET, parquet(pd.DataFrame([mixed(when=..., float=...)]))),
    "messages": (JSON, compact({"messages": [{"role": "user", "content": "x"}]})),
}  # fmt: skip

TENSOR_REQUESTS: dict[str, Request] = {
    "inputs": (JSON, compact({"inputs": [ROW, ROW]})),
    "instances": (JSON, compact({"instances": [ROW]})),
    "one row without its list": (JSON, compact({"inputs": ROW})),
    "too narrow": (JSON, compact({"inputs": [ROW[1:]]})),
    "ragged": (JSON, compact({"inputs": [ROW, ROW[1:]]})),
    "too deep": (JSON, compact({"inputs": [[ROW]]})),
    "empty": (JSON, compact({"inputs": []})),
    "texts of numbers": (JSON, compact({"inputs": [list(map(str, ROW))]})),
    "text": (JSON, compact({"inputs": [["x", *ROW[1:]]]})),
    "whole numbers": (JSON, compact({"inputs": [[1, 2, 3, 4, 5, 6, 7]]})),
    "beyond 64 bits": (JSON, compact({"inputs": [[2**70, 2, 3, 4, 5, 6, 7]]})),
    "booleans": (JSON, compact({"inputs": [[True] * 7]})),
    "dict": (JSON, compact({"inputs": {"a": [ROW]}})),
    "number": (JSON, compact({"inputs": 5})),
    "null": (JSON, compact({"inputs": None})),
    "split": split(WINE, ROW),
    "split of other names": split(list("abcdefg"), ROW),
    "split too narrow": split(WINE[1:], ROW[1:]),
    "split of whole numbers": split(WINE, [1, 2, 3, 4, 5, 6, 7]),
    "records": records(dict(zip(WINE, ROW, strict=True))),
    "records empty": records(),
    "one column of lists": (JSON, compact({"dataframe_split": {"columns": ["x"], "data": [[ROW]]}})),
    "csv": (CSV, X.head(2).to_csv(index=False).encode()),
    "parquet": (PARQUET, parquet(X.head(2))),
}  # fmt: skip

HAND_WRITTEN = [
    (model, name, request)
    for model, requests in (("xgboost", WINE_REQUESTS), ("mixed", MIXED_REQUESTS), ("tensor", TENSOR_REQUESTS))
    for name, request in requests.items()
]


def compare(pair: Pair, request: Request) -> None:
    scorer, upstream = pair
    expected, found = upstream.ask(*request), ours(scorer, request)
    statuses = (expected.status, found.status)
    if expected.raised or found.raised:
        assert (expected.raised, found.raised) == (True, True)
        assert statuses == DIFFERENCES["model that raises"]
    elif expected.status == 5:
        assert statuses == DIFFERENCES["request that upstream's parser falls over"]
    else:
        assert found == expected


@pytest.mark.parametrize(("model", "name", "request_"), HAND_WRITTEN, ids=[f"{m}: {n}" for m, n, _ in HAND_WRITTEN])
def test_a_request_is_answered_as_upstream_answers_it(
    pairs: dict[str, Pair], model: str, name: str, request_: Request
) -> None:
    compare(pairs[model], request_)


def test_without_a_content_type_upstream_fails_and_we_refuse(pairs: dict[str, Pair]) -> None:
    scorer, upstream = pairs["xgboost"]
    request = (None, split(WINE, ROW)[1])
    assert (upstream.ask(*request).status, ours(scorer, request).status) == DIFFERENCES["no content type"]


def test_a_model_that_raises_is_the_callers_fault_upstream_and_ours_here(pairs: dict[str, Pair]) -> None:
    scorer, upstream = pairs["failing"]
    request = records({"a": 42.0})
    expected, found = upstream.ask(*request), ours(scorer, request)
    assert (expected.raised, found.raised) == (True, True)
    assert (expected.status, found.status) == DIFFERENCES["model that raises"]


NUMBER = st.one_of(
    st.floats(), st.floats(0, 20), st.floats(0, 20), st.integers(-5, 20), st.integers(), st.booleans(),
    st.sampled_from([2**31, 2**53 + 1, 2**63, 1e39, -0.0]),
)  # fmt: skip
CELL = st.one_of(NUMBER, NUMBER, NUMBER, NUMBER, st.none(), st.sampled_from(["1", "x", "2026-01-01", "", [1]]))
OF_TYPE = {
    "long": st.integers(-(2**63), 2**63 - 1) | NUMBER, "integer": st.integers(-(2**31), 2**31 - 1) | NUMBER,
    "double": NUMBER, "string": st.text("ab\u00e4\u20ac", max_size=3), "boolean": st.booleans(),
    "float": st.floats(width=32), "when": st.datetimes().map(str) | st.none(),
}  # fmt: skip
DOCUMENTS = ("dataframe_split", "dataframe_records", "instances", "inputs", "by column")


def document(form: str, columns: list[str], rows: list[list[Any]]) -> bytes:
    if form == "dataframe_split":
        return split(columns, *rows)[1]
    if form == "by column":
        return compact({"inputs": {name: [row[i] for row in rows] for i, name in enumerate(columns)}})
    return records(*(dict(zip(columns, row, strict=True)) for row in rows), form=form)[1]


relaxed = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@relaxed
@given(data=st.data(), form=st.sampled_from(DOCUMENTS), cell=st.sampled_from([NUMBER, CELL, st.floats(0, 20)]))
def test_generated_rows_of_numbers_are_answered_as_upstream_answers_them(
    pairs: dict[str, Pair], data: st.DataObject, form: str, cell: st.SearchStrategy[Any]
) -> None:
    columns = data.draw(st.permutations(WINE))
    rows = data.draw(st.lists(st.lists(cell, min_size=7, max_size=7), min_size=1, max_size=3))
    compare(pairs["xgboost"], (JSON, document(form, columns, rows)))


@relaxed
@given(data=st.data(), form=st.sampled_from(DOCUMENTS), odd=st.booleans())
def test_generated_rows_of_every_type_are_answered_as_upstream_answers_them(
    pairs: dict[str, Pair], data: st.DataObject, form: str, odd: bool
) -> None:
    columns = data.draw(st.permutations(sorted(OF_TYPE)))
    cells = st.tuples(*(OF_TYPE[name] | CELL if odd else OF_TYPE[name] for name in columns)).map(list)
    compare(pairs["mixed"], (JSON, document(form, columns, data.draw(st.lists(cells, min_size=1, max_size=2)))))


@relaxed
@given(form=st.sampled_from(["inputs", "instances"]), width=st.sampled_from([7, 7, 7, 6, 8]), data=st.data())
def test_generated_tensors_are_answered_as_upstream_answers_them(
    pairs: dict[str, Pair], form: str, width: int, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.lists(NUMBER, min_size=width, max_size=width), min_size=1, max_size=3))
    compare(pairs["tensor"], (JSON, compact({form: rows})))


def test_predictions_are_compared_without_nan() -> None:
    assert without_nan([float("nan"), {"a": float("inf")}, 1.5]) == [None, {"a": None}, 1.5]
