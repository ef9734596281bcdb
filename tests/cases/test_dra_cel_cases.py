"""Kubernetes' own table of CEL selectors. The cases live beside the repository, if at all."""

import json
import os
from pathlib import Path

import pytest

from kai_py.core.dra.cel import (
    CelDevice,
    CelError,
    CelFeatures,
    SelectorError,
    Unsupported,
    compile_expression,
    parse_quantity,
    parse_semver,
    version_attribute,
)

CASES = Path(os.environ.get("KAI_PY_CASES", Path(__file__).parents[3] / "shared" / "cases"))
TABLE = CASES / "dra" / "cel_cases.json"

if not TABLE.is_file():
    pytest.skip(f"no cases in {CASES}; KAI_PY_CASES names another folder", allow_module_level=True)


def attribute(value):
    match value:
        case {"version": text}:
            return version_attribute(text)
        case {"versions": texts}:
            return tuple(map(parse_semver, texts))
        case {"bool": one} | {"int": one} | {"string": one}:
            return one
        case {"bools": many} | {"ints": many} | {"strings": many}:
            return tuple(many)
    return Unsupported()


def device(case):
    given = case["device"]
    return CelDevice(
        driver=given["driver"],
        attributes={name: attribute(value) for name, value in (given["attributes"] or {}).items()},
        capacity={name: parse_quantity(value["value"]) for name, value in (given["capacity"] or {}).items()},
        allow_multiple_allocations=bool(given.get("allowMultipleAllocations")),
    )


def cases():
    return [pytest.param(case, id=case["name"]) for case in json.loads(TABLE.read_text())["cases"]]


@pytest.mark.parametrize("case", cases())
def test_a_selector_of_kubernetes_comes_out_as_kubernetes_expects(case):
    expected, actual = case["expect"], case["actual"]
    features = CelFeatures(
        consumable_capacity=case["features"]["ConsumableCapacity"],
        list_type_attributes=case["features"]["ListTypeAttributes"],
        stored=case["envType"] == "StoredExpressions",
    )
    program = compile_expression(case["expression"], features)
    if "compileErrorSubstring" in expected:
        assert isinstance(program, CelError)
        assert expected["compileErrorSubstring"] in program.message
        assert program.message == actual["compileError"]
    elif "matchErrorSubstring" in expected:
        with pytest.raises(SelectorError) as caught:
            program.matches(device(case))
        assert expected["matchErrorSubstring"] in str(caught.value)
        assert str(caught.value) == actual["matchError"]
    else:
        assert program.matches(device(case)) is expected["match"]
        assert program.evaluate(device(case)) == (actual["match"], actual["actualCost"])
        assert program.output_type == actual["outputType"]
