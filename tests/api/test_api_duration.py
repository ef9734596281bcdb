import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.api.duration import Duration

SECOND = 10**9


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("-0s", 0),
        ("60s", 60 * SECOND),
        ("1h30m", 5400 * SECOND),
        ("-1s", -SECOND),
        ("+2m", 120 * SECOND),
        ("1.5h", 5400 * SECOND),
        (".5s", SECOND // 2),
        ("1.s", SECOND),
        ("1us2µs3μs", 6000),
        ("1h1h", 7200 * SECOND),
        ("0.3ns", 0),
        ("2562047h47m16.854775807s", 2**63 - 1),
    ],
)
def test_gos_syntax_is_read(text, nanoseconds):
    assert Duration.parse(text) == Duration(nanoseconds)


@pytest.mark.parametrize(
    "text", ["", "1", "s", "-", "1d", "1 s", "1h ", "h1", ".s", "1.2.3s", "2562048h", "1" * 200 + "s", "٣s"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=r"duration|292 years"):
        Duration.parse(text)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (5400 * SECOND, "1h30m0s"),
        (60 * SECOND, "1m0s"),
        (1_500_000, "1.5ms"),
        (1_100, "1.1µs"),
        (-1, "-1ns"),
        (SECOND + 1, "1.000000001s"),
    ],
)
def test_durations_are_written_as_go_writes_them(nanoseconds, text):
    assert str(Duration(nanoseconds)) == text


@given(st.integers(-(2**63) + 1, 2**63 - 1).map(Duration))
def test_what_is_written_is_read_back(duration):
    assert Duration.parse(str(duration)) == duration


@given(st.integers(-(10**9), 10**9))
def test_whole_seconds_stay_whole(seconds):
    assert Duration.of_seconds(seconds).seconds == seconds
