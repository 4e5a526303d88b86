"""Texts of JSON and of queries that a field may hold, right by chance and odd on purpose.

Texts, not Python values: `1`, `1.0`, `"1"`, `NaN` and a lone surrogate reach the server as written here.
"""

from __future__ import annotations

import json


def text(value: str) -> str:
    return json.dumps(value)


_LENGTHS = (249, 250, 251, 255, 256, 500, 501, 6000, 6001, 8000, 8001)
LONG = (*(text("x" * count) for count in _LENGTHS), text("ü" * 250), text("😀" * 250), text("😀" * 126))
NUMBERS = (
    "0", "-0", "-0.0", "1", "1.0", "1.5", "-1", "1e2", "1e308", "1e309", "-1e309", "5e-324", "1e-400", "NaN",
    "Infinity", "-Infinity", "2147483647", "2147483648", "-2147483649", "9007199254740993", "9223372036854775807",
    "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "1e18", "1e19", "123456789012345678901",
    "0.1", "1.7976931348623157e308", "3.0000000000000004",
)  # fmt: skip
SPELT = tuple(
    text(each)
    for each in (
        "NaN", "Infinity", "-Infinity", "nan", "inf", "-inf", "+Infinity", "1", "01", " 1", "1 ", "1.0", "1.5", "1e2",
        "+1", "-1", "-0", "1_000", "0x10", "", " ", "2147483648", "9223372036854775807", "9223372036854775808",
        "-9223372036854775809", "١٢", "1,5", "true", "null",
    )
)  # fmt: skip
_WORDS = (
    "a", "é", "e\u0301", "a\0b", "\0", "😀", "../x", "a/b", "/a", "a/", "a//b", ".", "..", "./a", "a/./b", "a b",
    "a:b", "a\nb", "a\tb", "%", "\\", "'", '"', "ａ", "-", "_", "a" * 36, "0", "mlflow.runName", "A\u200db",
    "\u202eabc", "\ufeff", "\x7f", "a;b", "<b>", "None", "@", "a?b", "a#b", "a=b", "$", "a,b",
)  # fmt: skip
WORDS = (
    *map(text, _WORDS), '"\\ud800"', '"\\udc00a"', '"😀ü"', '"\ud800"', '"a\tb"', '"\\u0041"', '"\\x41"',
)  # fmt: skip
OTHERS = ("null", "true", "false", "[]", "{}", "[1]", '["a"]', '{"a":1}', "[null]", "[[]]", "[{}]", "", "tru", "'a'")
ODD = (*OTHERS, *NUMBERS, *SPELT, *WORDS, *LONG)
QUERY = (
    "", "0", "1", "-1", "1.0", "1e3", "abc", "true", "%00", "a%00b", "%ff", "%ed%a0%80", "%F0%9F%98%80", "a+b", "a%20b",
    "%2e%2e", "a%2Fb", "'", "%22", "2147483647", "2147483648", "9223372036854775807", "9223372036854775808", "ü", "%",
    "%zz", "25000", "25001", "50000", "50001", "null", "[]", "%5B1%5D", "x" * 300, "m;a=b", "%C3%A9", "e%CC%81", " ",
)  # fmt: skip
