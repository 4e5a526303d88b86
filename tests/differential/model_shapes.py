"""The calls about logged models as data, beside those of `shapes.py`. Refuses to know servers."""

from __future__ import annotations

from tests.differential.shapes import RUN, Shape

MODEL = ('"@M0@"', '"@M1@"', '"m-no"')
PAIRS = (
    '[{"key":"p","value":"1"},{"key":"ü 😀","value":""}]', "[]", '[{"key":"q","value":"x"}]',
    '[{"key":"p","value":"2"}]', '[{"key":"q"}]', '[{"value":"no key"}]', '[{"key":"","value":"v"}]',
    '[{"key":"a","value":"1"},{"key":"a","value":"2"}]',
)  # fmt: skip

CREATE = Shape(
    "create-logged-model", "POST", "logged-models",
    {
        "experiment_id": ('"@E0@"', '"@E1@"', '"0"', '"999999"'),
        "name": ('"model"', '""', '"mödel 😀 @S0@"', '"a/b"', '"a.b"', '"x_y"'), "model_type": ('"agent"', '""', '"ü"'),
        "source_run_id": (*RUN, '"no such run"', '""'), "params": PAIRS, "tags": PAIRS,
    },
)  # fmt: skip
FINALIZE = Shape(
    "finalize-logged-model", "PATCH", "logged-models/@M0@",
    {
        "model_id": MODEL,
        "status": (
            '"LOGGED_MODEL_READY"', '"LOGGED_MODEL_UPLOAD_FAILED"', '"LOGGED_MODEL_PENDING"', "0", "2", '"READY"', "7",
        ),
    },
)  # fmt: skip
PARAMS = Shape("log-logged-model-params", "POST", "logged-models/@M0@/params", {"model_id": MODEL, "params": PAIRS})
TAGS = Shape("set-logged-model-tags", "PATCH", "logged-models/@M0@/tags", {"tags": PAIRS, "model_id": MODEL})
GET = Shape("get-logged-model", "GET", "logged-models/@M0@", {"allow_deleted": ("true", "false", "TRUE", "x", "")})
SEARCH = Shape(
    "search-logged-models", "POST", "logged-models/search",
    {
        "experiment_ids": ('["@E0@"]', '["@E0@","0"]', "[]", '["x"]', '["@E0@","@E0@"]'),
        "filter": (
            '""', "\"name = 'model'\"", "\"metrics.m >= 1 AND params.p = '1'\"", '"creation_time > 5"', '"nope"',
        ),
        "max_results": ("50", "1", "2", '"3"', "0", "-1"), "page_token": ('""', '"@T0@"', '"broken"'),
        "order_by": (
            "[]", '[{"field_name":"creation_time","ascending":false}]', '[{"field_name":"name"}]',
            '[{"field_name":"metrics.m","ascending":false,"dataset_name":"d"}]', '[{"field_name":"nope"}]',
            '[{"field_name":"creation_time","ascending":true}]',
        ),
        "datasets": (
            "[]", '[{"dataset_name":"d","dataset_digest":"x"}]', '[{"dataset_name":"d"}]', '[{"dataset_name":""}]',
        ),
    },
)  # fmt: skip
DELETE = Shape("", "DELETE", "logged-models/@M0@", {})
DELETE_TAG = Shape("", "DELETE", "logged-models/@M0@/tags/p", {})

HOT = (CREATE, FINALIZE, PARAMS, TAGS, GET, SEARCH)
