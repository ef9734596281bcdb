"""What is refused before any device is seen, where the fault is, and what the features change."""

import pytest

from kai_py.core.dra.cel import CelDevice, CelError, CelFeatures, Program, SelectorError, compile_expression

SCALARS = CelFeatures(consumable_capacity=False, list_type_attributes=False, stored=True)
LISTS = CelFeatures(consumable_capacity=False, list_type_attributes=True, stored=True)
G = 'device.attributes["gpu.example.com"]'


def refused(text, features=SCALARS):
    answer = compile_expression(text, features)
    assert isinstance(answer, CelError), f"{text} was accepted"
    return answer


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ("?!", "Syntax error", 1, 1),
        ("true &&\n  nosuch(1)", "undeclared reference to 'nosuch'", 2, 9),
        ("device.nope == 1", "undefined field 'nope'", 1, 7),
        ("has(device.nope)", "undefined field 'nope'", 1, 4),
        ("x == 1", "undeclared reference to 'x'", 1, 1),
        ("device.driver == 1", "found no matching overload for '_==_'", 1, 15),
        ('quantity("1") < quantity("2")', "found no matching overload for '_<_'", 1, 15),
        ('semver("1.0.0") == "1.0.0"', "found no matching overload for '_==_'", 1, 17),
        ('[1, "a"].size() == 2', "expected type 'int' but found 'string'", 1, 5),
        ('{"a": 1, "b": true}.size() == 2', "expected type 'int' but found 'bool'", 1, 15),
        (f"[{G}.x, 1].size() == 2", "expected type 'any' but found 'int'", 1, 42),
        ('"x".matches("[")', "invalid matches argument", 1, 13),
        ('"x".matches("(?=x)")', "invalid matches argument", 1, 13),
        (r'"x".matches("\\C")', "invalid matches argument", 1, 13),
        ('duration("1parsec") == duration("1s")', "invalid duration argument", 1, 10),
        ('timestamp("today") == timestamp(0)', "invalid timestamp argument", 1, 11),
        ("math.abs(1) == 1", "undeclared reference to 'abs'", 1, 1),
        ('base64.encode(b"a") == ""', "undeclared reference to 'encode'", 1, 1),
        ('"a".reverse() == "a"', "found no matching overload for 'reverse'", 1, 12),
        ("google.protobuf.Int64Value{value: 1} == 1", "undeclared reference to 'google.protobuf.Int64Value'", 1, 1),
    ],
)
def test_a_fault_is_named_with_its_place(text, message, line, column):
    error = refused(text)
    assert message in error.message
    assert (error.line, error.column) == (line, column)
    assert error.message.startswith("compilation failed: ")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1", "int"),
        ('"a"', "string"),
        ("null", "null_type"),
        ("device.driver", "string"),
        ('device.capacity["gpu.example.com"].memory', "kubernetes.Quantity"),
        ('semver("1.0.0")', "kubernetes.Semver"),
        ("dyn(true)", "dyn"),
    ],
)
def test_the_result_must_be_a_truth_value_or_an_attribute(text, kind):
    error = refused(text)
    assert error == CelError(f"must evaluate to bool or the unknown type, not {kind}")


def test_with_attributes_of_list_type_any_dynamic_result_will_do():
    assert compile_expression("dyn(true)", LISTS).output_type == "dyn"
    assert compile_expression(f"{G}.x", SCALARS).output_type == "google.protobuf.Any"


@pytest.mark.parametrize(
    "text", ['int("x") == 1', "uint(-1) == 1u", r'string(b"\xff") == ""', "{1: 1, 1: 2}.size() == 1"]
)
def test_a_literal_that_cannot_be_converted_is_a_compile_error(text):
    assert refused(text).message.startswith("program instantiation failed: ")


def test_a_selector_may_have_ten_kibibytes():
    longest = "true" + " " * (10 * 1024 - 4)
    assert isinstance(compile_expression(longest), Program)
    assert refused(longest + " ").message == "the expression is longer than 10240 bytes"
    assert refused('"' + "é" * 6000 + '" == ""').message == "the expression is longer than 10240 bytes"


def test_text_that_is_no_unicode_is_refused():
    assert refused('"\ud800" == ""').message == "the expression is not valid UTF-8"


@pytest.mark.parametrize(("consumable", "stored", "known"), [(0, 0, False), (1, 0, True), (0, 1, True), (1, 1, True)])
def test_multiple_allocations_are_known_when_switched_on_or_stored(consumable, stored, known):
    features = CelFeatures(consumable_capacity=bool(consumable), stored=bool(stored))
    answer = compile_expression("device.allowMultipleAllocations == false", features)
    assert isinstance(answer, Program) is known
    if known:
        assert answer.matches(CelDevice("d")) is True
    else:
        assert "undefined field 'allowMultipleAllocations'" in answer.message


@pytest.mark.parametrize(("lists", "stored", "known"), [(0, 0, False), (1, 0, True), (0, 1, True), (1, 1, True)])
def test_includes_is_known_when_switched_on_or_stored(lists, stored, known):
    features = CelFeatures(list_type_attributes=bool(lists), stored=bool(stored))
    assert isinstance(compile_expression(f"{G}.x.includes(1)", features), Program) is known


def test_macros_iterate_over_attributes_only_when_they_may_be_lists():
    assert "cannot be the range of a comprehension" in refused(f"{G}.x.exists(x, x == 1)").message
    assert isinstance(compile_expression(f"{G}.x.exists(x, x == 1)", LISTS), Program)


def test_a_device_with_a_list_fails_every_selector_while_lists_are_off():
    device = CelDevice("gpu.example.com", {"tags": ("a",)})
    assert compile_expression("true", LISTS).matches(device) is True
    with pytest.raises(SelectorError, match="attribute tags: unsupported attribute value"):
        compile_expression("true", SCALARS).matches(device)


def test_a_faulty_expression_does_not_stop_the_next():
    refused("?!")
    refused("nosuch(1)")
    assert compile_expression('device.driver == "d"').matches(CelDevice("d")) is True


def test_a_message_stays_readable_however_many_faults_there_are():
    assert len(refused("@" * 10_000).message) < 2500
