"""Reading logs: the last lines, merged, followed through rotations."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.supervisor import logs
from homeport.supervisor.layout import Home
from homeport.supervisor.logfile import LogFile


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


def texts(lines: Iterator[logs.LogLine]) -> list[str]:
    return [line.text for line in lines]


def test_the_last_lines_are_read_through_rotations(home: Home) -> None:
    log = LogFile(home.log("a"), size=300, keep=3)
    for number in range(50):
        log.feed(b"line %d\n" % number)
    log.end()
    kept = len(logs.tail(home, "a", -1))
    assert kept > 12
    for n in (0, 1, 5, 12, kept, kept + 100):
        assert [line.text for line in logs.tail(home, "a", n)] == [
            f"line {number}" for number in range(50 - min(n, kept), 50)
        ]


def test_a_log_larger_than_a_block_is_read_from_its_end(home: Home) -> None:
    log = LogFile(home.log("a"))
    for number in range(3000):
        log.feed(b"%d %s\n" % (number, b"x" * 100))
    log.end()
    assert [line.text.split()[0] for line in logs.tail(home, "a", 2000)] == [
        str(number) for number in range(1000, 3000)
    ]


def test_lines_of_several_services_are_merged_by_time(home: Home) -> None:
    clock = Clock()
    one, two = LogFile(home.log("one"), clock=clock), LogFile(home.log("two"), clock=clock)
    for number in range(4):
        (one if number % 2 else two).feed(b"%d\n" % number)
    one.end()
    two.end()
    found = list(logs.follow(home, ["one", "two", "absent"]))
    assert [(line.service, line.text) for line in found] == [("two", "0"), ("one", "1"), ("two", "2"), ("one", "3")]
    assert found[0].as_dict() == {"ts": "2027-01-15T08:00:00.000Z", "service": "two", "text": "0"}


def test_services_with_a_log_are_named_once(home: Home) -> None:
    for name in ("b", "a"):
        log = LogFile(home.log(name), size=30)
        log.feed(b"x\n")
        log.feed(b"y\n")
        log.end()
    assert logs.names(home) == ["a", "b"]


def test_bytes_that_are_no_text_and_lines_that_are_no_logs_are_shown_as_they_can_be(home: Home) -> None:
    home.log("a").write_bytes(b"2027-01-15T08:00:00.000Z \xff\xfe\r\nno time\n\n")
    assert [(line.ts, line.text) for line in logs.tail(home, "a", 9)] == [
        ("2027-01-15T08:00:00.000Z", "\ufffd\ufffd"),
        ("2027-01-15T08:00:00.000Z", "no time"),
        ("2027-01-15T08:00:00.000Z", ""),
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.integers(-1, 5))
def test_following_misses_no_line_and_shows_none_twice(bursts: list[int], lines: int) -> None:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as directory:
        home = Home(Path(directory))
        home.create()
        log = LogFile(home.log("a"), size=150, keep=3)
        written = iter(range(1000))
        total = 0

        def write(count: int) -> None:
            nonlocal total
            for _ in range(count):
                log.feed(b"%d\n" % next(written))
                total += 1

        write(bursts[0])
        before = total
        rest = iter(bursts[1:])
        over = False

        def until() -> bool:
            return over

        def wait(_: float) -> None:
            nonlocal over
            burst = next(rest, None)
            over = burst is None
            write(burst or 0)

        found = texts(logs.follow(home, ["a"], lines=lines, follow=True, until=until, wait=wait))
        log.end()
        past = before if lines < 0 else min(lines, before)
        assert found == [str(number) for number in range(before - past, total)]


def test_a_log_that_appears_later_is_followed_from_its_beginning(home: Home) -> None:
    over = False

    def wait(_: float) -> None:
        nonlocal over
        if not over:
            log = LogFile(home.log("late"))
            log.feed(b"here\n")
            log.end()
        over = True

    assert texts(logs.follow(home, ["late"], follow=True, until=lambda: over, wait=wait)) == ["here"]


def test_half_a_line_is_shown_when_it_is_whole(home: Home) -> None:
    path = home.log("a")
    path.write_bytes(b"2027-01-15T08:00:00.000Z one\n2027-01-15T08:00:00.001Z tw")
    over = False

    def wait(_: float) -> None:
        nonlocal over
        if not over:
            with path.open("ab") as file:
                file.write(b"o\n")
        over = True

    assert texts(logs.follow(home, ["a"], follow=True, until=lambda: over, wait=wait)) == ["one", "two"]


def test_a_log_that_was_removed_goes_on_with_the_new_one(home: Home) -> None:
    first = LogFile(home.log("a"))
    first.feed(b"one\n")
    first.end()
    over = False

    def wait(_: float) -> None:
        nonlocal over
        if not over:
            home.log("a").unlink()
            second = LogFile(home.log("a"))
            second.feed(b"two\n")
            second.end()
        over = True

    assert texts(logs.follow(home, ["a"], follow=True, until=lambda: over, wait=wait)) == ["one", "two"]
