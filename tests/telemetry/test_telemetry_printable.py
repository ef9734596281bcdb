import io
import logging

import structlog
from hypothesis import given
from hypothesis import strategies as st

from kai_py.core.result import Reason, ReasonCode
from kai_py.telemetry.case import Case
from kai_py.telemetry.logs import configure
from kai_py.telemetry.printable import printable


def test_escapes_line_ends_and_turned_directions_are_shown_and_not_done():
    assert printable("a\x1b[31mb\nc\r\x9b2J\u202ed\u2028\x00") == r"a\x1b[31mb\nc\r\x9b2J\u202ed\u2028\x00"


@given(st.text())
def test_what_comes_out_stays_on_its_line(text):
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert not any(ord(one) < 32 or 127 <= ord(one) < 160 for one in shown)
    assert printable(shown) == shown


@given(st.text(st.characters(categories=["L", "N", "P", "S", "M", "Zs"])))
def test_words_in_any_script_stay_as_they_are(text):
    assert printable(text) == text


def test_a_reason_does_not_carry_users_escapes_into_conditions_and_events():
    case = Case(Reason(ReasonCode.QUEUE_MISSING, {"queue": "a\x1b[2Jb", "note": "c\nd"}))
    assert case.named("queue", "queue") == r"queue a\x1b[2Jb"
    assert list(case.other_names(frozenset({"queue"}))) == [r"note c\nd"]


def test_a_console_line_does_not_carry_them_either():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    try:
        configure("console", stream=stream)
        structlog.get_logger().info("refused", why="\x1b[2J\u202egone", pod="a/b")
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    [line] = stream.getvalue().splitlines()
    assert r"\x1b[2J\u202egone" in line
    assert "\x1b" not in line
