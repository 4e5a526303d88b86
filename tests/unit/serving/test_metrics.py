from __future__ import annotations

from typing import Any

from homeport.serving.metrics import quantile, together


def told(answered: int, bucket: int) -> dict[str, Any]:
    buckets = [0] * 18
    buckets[bucket] = answered
    return {"answered": answered, "failed": 1, "in_flight": 2, "buckets": buckets}


def test_a_quantile_is_the_bound_of_the_bucket_that_reaches_it() -> None:
    buckets = [0, 90, 0, 9, 1, *[0] * 13]
    assert quantile(buckets, 0.5) == 0.00025
    assert quantile(buckets, 0.99) == 0.001
    assert quantile(buckets, 1.0) == 0.0025


def test_nothing_answered_has_no_quantile() -> None:
    assert quantile([0] * 18, 0.5) is None


def test_what_took_longer_than_every_bucket_is_the_last_bound() -> None:
    assert quantile([*[0] * 17, 3], 0.5) == 30.0


def test_what_workers_tell_is_added_up_by_version() -> None:
    found = together([{"served": {"m/1": told(90, 0), "m/2": told(0, 0)}}, {"served": {"m/1": told(10, 2)}}])
    assert found["m/1"] == {"answered": 100, "failed": 2, "in_flight": 4, "latency": {"p50": 0.0001, "p99": 0.0005}}
    assert found["m/2"]["latency"] == {"p50": None, "p99": None}


def test_a_worker_that_did_not_answer_in_time_is_left_out() -> None:
    late = {"worker": 1, "ok": False, "error": "no answer within 1 s"}
    assert together([late, {"served": {"m/1": told(3, 0)}}])["m/1"]["answered"] == 3
    assert together([late]) == {}
