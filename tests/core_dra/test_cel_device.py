"""How a device looks to selectors, and when an answer may be remembered."""

from fractions import Fraction

import pytest

from kai_py.core.dra.cel import (
    CelDevice,
    Quantity,
    SelectorError,
    Unsupported,
    compile_expression,
    parse_quantity,
    parse_semver,
    version_attribute,
)


def test_names_without_a_domain_belong_to_the_driver():
    device = CelDevice("d", {"x": 1, "other/y": 2, "d/z": 3}, {"m": parse_quantity("1"), "o/n": parse_quantity("2")})
    for text in (
        'device.attributes["d"].x == 1 && device.attributes["d"].z == 3 && device.attributes["other"].y == 2',
        'device.capacity["d"].m == quantity("1") && device.capacity["o"].n == quantity("2")',
        "device.attributes.size() == 2 && device.capacity.size() == 2",
    ):
        assert compile_expression(text).matches(device) is True


def test_a_name_is_split_at_its_first_slash():
    assert compile_expression('device.attributes["a"]["b/c"] == 1').matches(CelDevice("d", {"a/b/c": 1}))


def test_an_empty_device_has_nothing():
    device = CelDevice()
    assert compile_expression('device.driver == "" && device.attributes == {} && device.capacity == {}').matches(device)


def test_a_broken_attribute_fails_every_selector_of_its_device_only():
    always = compile_expression("true")
    with pytest.raises(SelectorError, match="attribute v: parse semantic version: "):
        always.matches(CelDevice("d", {"v": version_attribute("1.0")}))
    with pytest.raises(SelectorError, match="attribute x: unsupported attribute value"):
        always.matches(CelDevice("d", {"x": Unsupported()}))
    assert always.matches(CelDevice("d", {"v": version_attribute("1.0.0")})) is True


def test_equal_devices_have_one_signature():
    one = CelDevice("d", {"a": 1, "b": "x"}, {"m": parse_quantity("1Ki")})
    two = CelDevice("d", {"b": "x", "a": 1}, {"m": parse_quantity("1024")})
    assert one.signature == two.signature
    assert len(one.signature) == 16


@pytest.mark.parametrize(
    "other",
    [
        CelDevice("e", {"a": 1}),
        CelDevice("d", {"a": 2}),
        CelDevice("d", {"a": True}),
        CelDevice("d", {"a": "1"}),
        CelDevice("d", {"a": (1,)}),
        CelDevice("d", {"b": 1}),
        CelDevice("d", {"a": 1}, {"m": parse_quantity("1")}),
        CelDevice("d", {"a": 1}, allow_multiple_allocations=True),
        CelDevice("d", {"a": parse_semver("1.0.0")}),
        CelDevice("d", {"a": 1, "b": 1}),
    ],
)
def test_any_difference_that_a_selector_can_see_changes_the_signature(other):
    assert other.signature != CelDevice("d", {"a": 1}).signature


def test_text_cannot_forge_the_signature_of_another_device():
    assert CelDevice("d", {"a": "x', 'b'"}).signature != CelDevice("d", {"a": "x", "b": ""}).signature


def test_an_answer_is_remembered_by_signature():
    program = compile_expression('device.attributes["d"].a == 1 && device.attributes["d"].b == 2')
    evaluations = []
    step, program._step = program._step, lambda frame: evaluations.append(frame) or step(frame)
    for _ in range(3):
        assert program.matches(CelDevice("d", {"a": 1, "b": 2})) is True
        assert program.matches(CelDevice("d", {"a": 1, "b": 3})) is False
        with pytest.raises(SelectorError, match="no such key: b"):
            program.matches(CelDevice("d", {"a": 1}))
    assert len(evaluations) == 3


def test_a_compiled_selector_is_remembered_by_text_and_features():
    assert compile_expression("1 == 1") is compile_expression("1 == 1")
    assert compile_expression("1 == ") is compile_expression("1 == ")


def test_a_remembered_error_does_not_grow_a_traceback():
    program = compile_expression("1 / 0 == 1")
    depths = []
    for _ in range(3):
        with pytest.raises(SelectorError) as caught:
            program.matches(CelDevice("d"))
        depths.append(len(caught.traceback))
    assert depths[1] == depths[2]


def test_an_evaluation_changes_neither_device_nor_later_answers():
    device = CelDevice("d", {"a": 1})
    program = compile_expression('device.attributes["d"].map(k, k).map(k, k + "!") == ["a!"]')
    assert [program.evaluate(device) for _ in range(3)] == [program.evaluate(device)] * 3


def test_quantities_are_exact():
    assert parse_quantity("0.1").value == Fraction(1, 10)
    assert parse_quantity("1e-9").value == Fraction(1, 10**9)
    assert parse_quantity("-1.5Gi") == Quantity(Fraction(-3, 2) * 2**30)


@pytest.mark.parametrize("text", ["", "1.2.3", "1ki", "Ki", "+", "1 ", "1e", "1e999999999", "１", "1" * 300])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match="quantit"):
        parse_quantity(text)
