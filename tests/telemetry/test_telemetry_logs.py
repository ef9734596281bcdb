import io
import json
import logging
import re
import warnings

import kopf
import pytest
import structlog

from kai_py.telemetry.logs import configure


@pytest.fixture
def stream():
    root, shown = logging.getLogger(), warnings.showwarning
    handlers, level = root.handlers[:], root.level
    chatty = {name: logging.getLogger(name).level for name in ("kopf", "aiohttp.access", "asyncio")}
    yield io.StringIO()
    logging.captureWarnings(False)
    warnings.showwarning = shown
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, was in chatty.items():
        logging.getLogger(name).setLevel(was)
    structlog.reset_defaults()


def parsed(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_has_time_level_event_and_the_keys(stream):
    configure("json", stream=stream)
    structlog.get_logger().info("bind", pod="a/b", cycle=3)
    [line] = parsed(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("ts"))
    assert line == {"level": "info", "event": "bind", "pod": "a/b", "cycle": 3}


def test_the_standard_librarys_loggers_take_the_same_way(stream):
    configure("json", stream=stream)
    logging.getLogger("aiohttp.client").warning("slow answer from %s", "127.0.0.1")
    [line] = parsed(stream)
    assert (line["event"], line["level"], line["logger"]) == ("slow answer from 127.0.0.1", "warning", "aiohttp.client")
    assert "ts" in line


def test_a_record_of_kopf_names_its_object(stream):
    configure("json", stream=stream)
    reference = {"kind": "Queue", "name": "research", "namespace": None}
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False  # or kopf, where it is at work, would make an Event of the line
    logging.getLogger("kopf.objects").warning("handler failed", extra={"k8s_ref": reference, "settings": settings})
    [line] = parsed(stream)
    assert line["object"] == "Queue research"
    assert "settings" not in line


def test_an_exception_is_structured_and_shows_no_locals(stream):
    configure("json", stream=stream)
    token = "secret" * 2
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("cycle failed")
        logging.getLogger("x").exception("cycle failed")
    for line in parsed(stream):
        assert line["exception"][0]["exc_type"] == "ValueError"
        assert line["exception"][0]["exc_value"] == "broken"
    assert len(parsed(stream)) == 2
    assert token not in stream.getvalue()


def test_what_json_has_no_word_for_does_not_break_the_line(stream):
    configure("json", stream=stream)
    structlog.get_logger().info("odd", thing=io)
    assert "module 'io'" in parsed(stream)[0]["thing"]


def test_the_level_holds_for_both_kinds_of_loggers(stream):
    configure("json", "warning", stream=stream)
    structlog.get_logger().info("no")
    logging.getLogger("x").info("no")
    structlog.get_logger().warning("yes")
    assert [line["event"] for line in parsed(stream)] == ["yes"]


def test_kopf_is_quiet_until_debugging(stream):
    configure("json", "info", stream=stream)
    logging.getLogger("kopf.objects").info("Handler succeeded")
    assert stream.getvalue() == ""
    configure("json", "debug", stream=stream)
    logging.getLogger("kopf.objects").info("Handler succeeded")
    assert len(parsed(stream)) == 1


def test_the_console_has_one_line_without_colours_when_it_is_no_terminal(stream):
    configure("console", stream=stream)
    structlog.get_logger().info("bind", pod="a/b")
    [line] = stream.getvalue().splitlines()
    assert "bind" in line
    assert "pod=a/b" in line
    assert "\x1b" not in line


def test_the_console_shows_a_traceback_as_python_does(stream):
    configure("console", stream=stream)
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("cycle failed")
    assert "Traceback (most recent call last)" in stream.getvalue()
    assert "ValueError: broken" in stream.getvalue()


def test_a_second_call_replaces_the_first(stream):
    other = io.StringIO()
    configure("json", stream=stream)
    configure("json", stream=other)
    structlog.get_logger().info("here")
    logging.getLogger("x").warning("here")
    assert stream.getvalue() == ""
    assert len(parsed(other)) == 2


def test_an_unknown_level_is_refused_with_the_known_ones(stream):
    with pytest.raises(ValueError, match=r"'loud' is not a log level: use debug, info"):
        configure("json", "loud", stream=stream)
