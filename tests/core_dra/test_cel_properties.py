"""Laws: nothing but our own errors comes out, int64 arithmetic, the order of versions, the values of quantities."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kai_py.core.dra.cel import (
    COST_LIMIT,
    CelDevice,
    CelError,
    CelFeatures,
    Program,
    SelectorError,
    compile_expression,
    parse_quantity,
    parse_semver,
)

FEATURES = st.builds(CelFeatures, st.booleans(), st.booleans(), st.booleans())
RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

INT64 = st.integers(-(2**63), 2**63 - 1)
names = st.text("ab/", max_size=4)
scalars = st.booleans() | INT64 | st.text(max_size=5) | st.builds(parse_semver, st.just("1.2.3"))
devices = st.builds(
    CelDevice,
    st.text("ab", max_size=2),
    st.dictionaries(names, scalars | st.tuples(INT64) | st.tuples(st.text(max_size=2)), max_size=4),
    st.dictionaries(names, st.builds(parse_quantity, st.just("1Gi")), max_size=2),
    st.booleans(),
)

ATOMS = (
    "1", "-1", "0", "2u", "1.5", '"a"', '"ab/"', "b'a'", "true", "false", "null", "[]", "{}", "[1, 2]", '{"a": 1}', "x",
    "device", "device.driver", "device.attributes", "device.capacity", "device.allowMultipleAllocations",
    'device.attributes["a"]', 'device.attributes["a"].b', 'device.capacity["a"].b', "optional.none()", "timestamp(0)",
    'duration("1s")', 'quantity("1Ki")', 'semver("1.2.3")', 'ip("::1")', 'cidr("10.0.0.0/8")', 'url("https://a/")',
    "9223372036854775807", "18446744073709551615u", "1e308", "dyn(1)", 'dyn("a")', "dyn([1])",
    "type(1)",
    "format.uuid()",
)  # fmt: skip
UNARY = (
    "!{0}", "-{0}", "({0})", "dyn({0})", "int({0})", "string({0})", "size({0})", "type({0})", "{0}.size()",
    "has({0}.b)",
    "{0}.b", "{0}.?b", "[{0}]", "{{{0}: 1}}", '{{"a": {0}}}', "optional.of({0})", "{0}.hasValue()", "{0}.value()",
    "{0}.isInteger()", "{0}.asInteger()", "{0}.major()", "{0}.sum()", "{0}.max()", "{0}.sort()", "{0}.flatten()",
    "{0}.distinct()", "{0}.isSorted()", "{0}.trim()", "{0}.lowerAscii()", "{0}.join()", "{0}.first()",
    "lists.range({0})", "{0}.family()", "{0}.getHost()", "double({0})", "uint({0})", "duration({0})", "timestamp({0})",
    "{0}.getFullYear()", "isURL({0})", "bytes({0})", "bool({0})", "strings.quote({0})", "optional.ofNonZeroValue({0})",
)  # fmt: skip
BINARY = (
    "{0} + {1}", "{0} - {1}", "{0} * {1}", "{0} / {1}", "{0} % {1}", "{0} == {1}", "{0} != {1}", "{0} < {1}",
    "{0} >= {1}", "{0} && {1}", "{0} || {1}", "{0} in {1}", "{0}[{1}]", "{0}[?{1}]", "{0} ? {1} : {0}", "[{0}, {1}]",
    "{0}.all(x, {1})", "{0}.exists(x, {1})", "{0}.exists_one(x, {1})", "{0}.map(x, {1})", "{0}.filter(x, {1})",
    "{0}.exists(k, x, {1})", "{0}.transformList(k, x, {1})", "{0}.transformMap(k, x, {1})",
    "{0}.transformMapEntry(k, x, {1})", "{0}.sortBy(x, {1})", "cel.bind(x, {0}, {1})", "{0}.optMap(x, {1})",
    "{0}.orValue({1})", "{0}.or({1})", "{0}.isGreaterThan({1})", "{0}.compareTo({1})", "{0}.add({1})", "{0}.sub({1})",
    "{0}.matches({1})", "{0}.find({1})", "{0}.findAll({1})", "{0}.split({1})", "{0}.indexOf({1})", "{0}.contains({1})",
    "{0}.format({1})", "{0}.includes({1})", "sets.contains({0}, {1})", "{0}.containsIP({1})", "{0}.validate({1})",
    "{0}.substring({1})", "{0}.charAt({1})", "{0}.replace({1}, {0})", "{0}.slice({1}, {1})", "{0}.getHours({1})",
    "{{{0}: {1}}}",
)  # fmt: skip
expressions = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: (
        st.builds(str.format, st.sampled_from(UNARY), inner)
        | st.builds(str.format, st.sampled_from(BINARY), inner, inner)
    ),
    max_leaves=6,
)


def complaints(text, features, device):
    """What is said of an expression when it is compiled, and evaluated twice; empty where it has an answer."""
    program = compile_expression(text, features)
    if isinstance(program, CelError):
        assert program.message
        return [program.message]
    assert isinstance(program, Program)
    found = []
    for _ in range(2):
        message = ""
        try:
            matched, cost = program.evaluate(device)
        except SelectorError as error:
            message = str(error)
        else:
            assert isinstance(matched, bool)
            assert 0 <= cost <= COST_LIMIT
        assert "internal error" not in message, text
        found.append(message)
    return found


@RELAXED
@given(st.text(max_size=60), FEATURES, devices)
def test_any_text_at_all_gives_nothing_but_our_own_errors(text, features, device):
    said = complaints(text, features, device)
    assert said == [said[0]] * len(said)  # the same each time


@settings(RELAXED, max_examples=800)
@given(expressions, FEATURES, devices)
def test_any_expression_gives_nothing_but_our_own_errors(text, features, device):
    twice = complaints(text, features, device)
    assert twice == [twice[0]] * len(twice)  # an expression says the same each time
    compared = complaints(f"type({text}) == type({text}) && dyn({text}) == dyn({text})", features, device)
    assert compared == [compared[0]] * len(compared)


@RELAXED
@given(INT64, INT64, st.sampled_from("+-*"))
def test_whole_numbers_overflow_at_64_bits(left, right, operator):
    device = CelDevice("d", {"l": left, "r": right})
    exact = {"+": left + right, "-": left - right, "*": left * right}[operator]
    program = compile_expression(f'device.attributes["d"].l {operator} device.attributes["d"].r < 0')
    if -(2**63) <= exact < 2**63:
        assert program.evaluate(device)[0] is (exact < 0)
    else:
        with pytest.raises(SelectorError, match="integer overflow"):
            program.evaluate(device)


@RELAXED
@given(INT64, INT64.filter(bool))
def test_division_and_remainder_belong_together(left, right):
    device = CelDevice("d", {"l": left, "r": right})
    program = compile_expression(
        'cel.bind(a, device.attributes["d"], a.l / a.r * a.r + a.l % a.r == a.l && (a.l % a.r >= 0 || a.l < 0))'
    )
    if (left, right) == (-(2**63), -1):
        with pytest.raises(SelectorError, match="integer overflow"):
            program.evaluate(device)
    else:
        assert program.evaluate(device)[0] is True


numbers = st.integers(0, 3).map(str)
identifiers = st.one_of(numbers, st.sampled_from(["a", "b", "a-b", "1a", "A"]))
prereleases = st.lists(identifiers, max_size=3).map(lambda parts: "-" + ".".join(parts) if parts else "")
builds = st.sampled_from(["", "+x", "+1.2"])
versions = st.builds("{}.{}.{}{}{}".format, numbers, numbers, numbers, prereleases, builds).map(parse_semver)


@RELAXED
@given(versions, versions, versions)
def test_versions_have_a_total_order(one, two, three):
    assert [one < two, one == two, one > two].count(True) == 1
    assert (one < two) == (two > one)
    if one <= two <= three:
        assert one <= three
    if one == two:
        assert hash(one) == hash(two)


@RELAXED
@given(versions)
def test_a_release_comes_after_its_pre_releases_and_build_metadata_does_not_count(version):
    release = parse_semver(f"{version.major}.{version.minor}.{version.patch}+other")
    assert version <= release
    assert (version == release) is (not version.prerelease)


def test_pre_releases_are_ordered_as_the_specification_says():
    order = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0"]
    parsed = [parse_semver(text) for text in order]
    assert all(one < two for one, two in pairwise(parsed))


SUFFIXES = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1), "k": Fraction(1000),
    "M": Fraction(10**6), "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30), "e3": Fraction(1000),
    "E-3": Fraction(1, 1000),
}  # fmt: skip
digits = st.integers(0, 10**6)


@RELAXED
@given(st.sampled_from(["", "+", "-"]), digits, st.sampled_from(list(SUFFIXES)))
def test_a_quantity_is_its_number_times_its_suffix(sign, number, suffix):
    value = parse_quantity(f"{sign}{number}{suffix}").value
    assert value == (-1 if sign == "-" else 1) * number * SUFFIXES[suffix]


@RELAXED
@given(digits, st.text("0123456789", min_size=1, max_size=14), st.sampled_from(list(SUFFIXES)))
def test_a_quantity_is_rounded_up_to_a_billionth(whole, decimals, suffix):
    exact = Fraction(f"{whole}.{decimals}") * SUFFIXES[suffix]
    value = parse_quantity(f"{whole}.{decimals}{suffix}").value
    assert 0 <= value - exact < Fraction(1, 10**9)
    assert (value * 10**9).denominator == 1


@RELAXED
@given(digits, digits, st.sampled_from(list(SUFFIXES)))
def test_quantities_add_and_compare_by_value(left, right, suffix):
    one, two = parse_quantity(f"{left}{suffix}"), parse_quantity(f"{right}{suffix}")
    assert (one + two).value == one.value + two.value
    assert (one + two) - two == one
    assert (one < two) is (left < right)
    device = CelDevice("d", capacity={"a": one, "b": two})
    program = compile_expression('cel.bind(c, device.capacity["d"], c.a.isLessThan(c.b) || c.a.compareTo(c.b) == 1)')
    assert program.evaluate(device)[0] is (left != right)
