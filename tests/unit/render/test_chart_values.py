"""values.yaml, its schema and its page come from one tree, and say the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from homeport.accepts import Accepts
from homeport.render.chart.document import WIDTH, inline, values_yaml
from homeport.render.chart.page import kind, values_page
from homeport.render.chart.schema import schema, values_schema
from homeport.render.chart.tree import OF_HELM, every
from homeport.render.chart.value import Keys, Value, described
from homeport.settings import knobs
from tests.documents import ROOT

CHART = ROOT / "charts" / "homeport"
HEAVY = {"mlflow", "pandas", "numpy", "boto3", "sqlalchemy", "asyncio", "psutil", "helm_python"}


def at(content: Any, path: Keys) -> Any:
    for key in path:
        content = content[key]
    return content


def paths(content: dict[str, Any], above: Keys = ()) -> set[Keys]:
    """The paths of a schema's values: what is not an object closed for values of ours, or is one on a single line."""
    found: set[Keys] = set()
    for name, each in content["properties"].items():
        path = (*above, name)
        found |= paths(each, path) if path not in every() and "properties" in each else {path}
    return found


def test_the_files_of_the_chart_are_what_the_tree_says() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.chart_values", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_stale_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from tools import generated
    from tools.chart_values import FILES

    def write(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["chart_values", *arguments])
        return generated.main(FILES, tmp_path, None)

    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    assert write() == 0
    (tmp_path / "charts/homeport/values.yaml").write_text("domain: x\n")
    assert write("--check") == 1
    assert "charts/homeport/values.yaml" in capsys.readouterr().err
    assert (tmp_path / "charts/homeport/values.yaml").read_text() == "domain: x\n"


def test_values_yaml_reads_as_the_defaults_of_the_tree() -> None:
    content = yaml.safe_load(values_yaml())
    for path, value in every().items():
        assert at(content, path) == value.default, path
    leaves = {path[:i] for path in every() for i in range(1, len(path) + 1)}
    assert set(content) == {path[0] for path in leaves}


def test_every_value_is_in_the_schema_and_the_other_way_round() -> None:
    assert paths(schema()) - {(name,) for name in OF_HELM} == set(every())


def test_every_object_of_the_chart_is_closed() -> None:
    def look(content: dict[str, Any], path: Keys = ()) -> None:
        if path not in every():
            assert content["additionalProperties"] is False, path
            for name, each in content["properties"].items():
                if each.get("type") == "object" and not (not path and name in OF_HELM):
                    look(each, (*path, name))

    look(schema())


def test_the_schema_is_json_that_go_reads() -> None:
    text = values_schema()
    assert json.loads(text) == schema()
    assert "(?" not in text, "Go's regular expressions have no lookaround"


def test_every_value_has_a_row_on_the_page() -> None:
    page = values_page()
    for path, value in every().items():
        assert f"| `{'.'.join(path)}` |" in page, path
        assert value.help, path
        assert not value.env or f"Setting `{value.env}`." in page


def test_a_value_that_is_a_setting_takes_its_range_and_words_from_the_setting() -> None:
    settings = {item.name: item for item in knobs()}
    found = {value.setting: value for value in every().values() if value.setting}
    assert {"workers", "serve", "serving_queue", "prediction_log", "domain", "telemetry", "bucket"} <= found.keys()
    for name, value in found.items():
        knob = settings[name]
        assert value.env == knob.env
        if knob.accepts.words:
            assert value.schema["enum"] == list(knob.accepts.words)
        if knob.accepts.kind in (int, float) and name != "serving_workers":
            assert (value.schema["minimum"], value.schema["maximum"]) == (knob.accepts.least, knob.accepts.most)
    assert found["serving_workers"].schema["minimum"] == 1


def test_comments_fit_their_lines_and_stand_where_help_is_said() -> None:
    lines = values_yaml().splitlines()
    assert not [line for line in lines if len(line) > WIDTH]
    assert "  # -- Used while autoscaling is off; null: something else decides (KEDA)." in lines
    assert "# Made by `make docs` from src/homeport/render/chart: change it there." in lines


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", '""'),
        ("mlflow", "mlflow"),
        ("off", '"off"'),
        ("4.48", '"4.48"'),
        ("*@champion", '"*@champion"'),
        ("0 3 * * 1", '"0 3 * * 1"'),
        ("10Gi", "10Gi"),
        (1.0, "1.0"),
        (None, "null"),
        (False, "false"),
        (["python", "-m"], "[python, -m]"),
        ({"a": "1"}, '{a: "1"}'),
        ([], "[]"),
    ],
)
def test_a_value_on_one_line_is_written_as_charts_write_it(value: Any, text: str) -> None:
    assert inline(value) == text
    assert yaml.safe_load(inline(value)) == value


@pytest.mark.parametrize(
    ("accepts", "found"),
    [
        (Accepts(), {"type": "string"}),
        (Accepts(bool), {"type": "boolean"}),
        (Accepts(int, 0, 64), {"type": "integer", "minimum": 0, "maximum": 64}),
        (Accepts(float, 0, 1), {"type": "number", "minimum": 0, "maximum": 1}),
        (Accepts(words=("auto", "off")), {"type": "string", "enum": ["auto", "off"]}),
        (Accepts(schemes=("http", "https")), {"type": "string", "pattern": r"^((http|https)(\+[a-z0-9]+)?://.+)$"}),
        (
            Accepts(least=3, most=9, pattern="a+"),
            {"type": "string", "minLength": 3, "maxLength": 9, "pattern": "^(a+)$"},
        ),
    ],
)
def test_what_a_parser_accepts_is_a_schema(accepts: Accepts, found: dict[str, Any]) -> None:
    assert described(accepts) == found


def test_a_value_that_may_stay_empty_takes_the_empty_text() -> None:
    assert described(Accepts(least=3, pattern="a+"), empty=True) == {"type": "string", "pattern": "^(a+)?$"}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 5}, "whole number, 1 to 5"),
        ({"type": ["integer", "null"], "minimum": 0}, "whole number or null from 0"),
        ({"type": "string", "enum": ["a", "b"]}, "`a` or `b`"),
        ({"title": "EnvVar", "type": "array"}, "list of EnvVar"),
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
    ],
)
def test_a_type_is_said_for_people(content: dict[str, Any], text: str) -> None:
    assert kind(content) == text


def test_a_value_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Value("a", 1, {}, "b").default = 2  # type: ignore[misc] # the very assignment that must fail


def test_rendering_values_imports_nothing_heavy() -> None:
    program = (
        "import sys, homeport.render.chart.carried, homeport.render.chart.fragment, homeport.render.chart.keys,"
        " homeport.cli.render; print('\\n'.join({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & HEAVY
