from __future__ import annotations

from homeport.serving.metrics import quantile


def test_a_quantile_is_the_bound_of_the_bucket_that_reaches_it() -> None:
    buckets = [0, 90, 0, 9, 1, *[0] * 13]
    assert quantile(buckets, 0.5) == 0.00025
    assert quantile(buckets, 0.99) == 0.001
    assert quantile(buckets, 1.0) == 0.0025


def test_nothing_answered_has_no_quantile() -> None:
    assert quantile([0] * 18, 0.5) is None


def test_what_took_longer_than_every_bucket_is_the_last_bound() -> None:
    assert quantile([*[0] * 17, 3], 0.5) == 30.0
