"""Devices as CEL expressions see them."""

import pytest

from kai_py.core.dra.devices import Attribute, Capacity, Device
from kai_py.core.dra.expressions import compile_selector
from kai_py.core.dra.selectors import SelectorError
from tests.core_dra.builders import DRIVER, attribute, device

SEEN = Device(
    "g0",
    DRIVER,
    attributes={
        "product": attribute("H100"),
        "index": attribute(3),
        "healthy": attribute(True),
        "driverVersion": Attribute("version", ("550.1.2",)),
        "other.com/roots": attribute(("pci0", "pci1")),
        "versions": Attribute("version", ("1.0.0", "2.0.0"), many=True),
    },
    capacities={"memory": Capacity(80 * 2**30 * 10**9), "cores": Capacity(2_500_000_000)},
    shareable=True,
)


@pytest.mark.parametrize(
    "expression",
    [
        f'device.driver == "{DRIVER}"',
        f'device.attributes["{DRIVER}"].product == "H100" && device.attributes["{DRIVER}"].index == 3',
        f'device.attributes["{DRIVER}"].healthy',
        f'device.attributes["{DRIVER}"].driverVersion.isGreaterThan(semver("550.0.0"))',
        'device.attributes["other.com"].roots.includes("pci1")',
        f'device.attributes["{DRIVER}"].versions.exists(v, v.major() == 2)',
        f'device.capacity["{DRIVER}"].memory.compareTo(quantity("80Gi")) == 0',
        f'device.capacity["{DRIVER}"].memory.isInteger()',
        f'device.capacity["{DRIVER}"].cores.compareTo(quantity("2500m")) == 0',
        "device.allowMultipleAllocations",
    ],
)
def test_an_expression_sees_all_of_a_device(expression):
    assert compile_selector(expression).matches(SEEN)
    assert not compile_selector(f"!({expression})").matches(SEEN)


def test_equal_expressions_are_equal_selectors():
    one, same, other = map(compile_selector, ("true", "true", "false"))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other


def test_what_cannot_be_compiled_or_evaluated_is_a_selector_error():
    with pytest.raises(SelectorError, match="nonsense"):
        compile_selector("nonsense")
    with pytest.raises(SelectorError, match="no such key"):
        compile_selector(f'device.attributes["{DRIVER}"].missing == 1').matches(SEEN)


@pytest.mark.parametrize(
    "broken", [Attribute(), Attribute("version", ("x",)), Attribute("version", ("1.0.0", "x"), many=True)]
)
def test_no_expression_can_be_evaluated_on_a_device_with_an_attribute_that_nobody_understands(broken):
    odd = Device("g0", DRIVER, attributes={"odd": broken})
    with pytest.raises(SelectorError, match="attribute odd"):
        compile_selector("device.allowMultipleAllocations").matches(odd)
    assert not compile_selector("device.allowMultipleAllocations").matches(device("g1"))


def test_a_selector_that_costs_too_much_on_many_devices_fails_on_the_rest():
    squares = "[" + ", ".join(["1"] * 80) + "]"
    costly = f'{squares}.all(x, {squares}.all(y, x == y)) && device.driver == "{DRIVER}"'
    selector = compile_selector(costly)
    answers = []
    for i in range(200):
        try:
            answers.append(selector.matches(device(f"g{i}", has={"index": i})))
        except SelectorError as error:
            answers.append(str(error))
    assert answers[0] is True
    assert "cost" in str(answers[-1])
    cheap = compile_selector(f'device.driver == "{DRIVER}"')
    assert all(cheap.matches(device(f"g{i}", has={"index": i})) for i in range(200))
