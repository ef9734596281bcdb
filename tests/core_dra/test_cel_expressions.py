"""What expressions say of one device: a row for each rule of the language and of Kubernetes' libraries.

The answers were compared with those of kube-scheduler's own CEL package; the rules are those of the CEL language
definition and of the Kubernetes documentation on CEL.
"""

import pytest

from kai_py.core.dra.cel import CelDevice, CelFeatures, Program, SelectorError, compile_expression
from kai_py.core.dra.cel import parse_quantity as quantity
from kai_py.core.dra.cel import parse_semver as semver

GPU = CelDevice(
    driver="gpu.example.com",
    attributes={
        "cores": 8,
        "fast": True,
        "model": "A100",
        "version": semver("1.2.3"),
        "other.example.com/socket": "left",
        "tags": ("red", "blue"),
        "lanes": (1, 2),
        "versions": (semver("1.0.0"), semver("2.0.0")),
    },
    capacity={"memory": quantity("40Gi")},
    allow_multiple_allocations=True,
)
EVERYTHING = CelFeatures(consumable_capacity=True, list_type_attributes=True, stored=True)
G = 'device.attributes["gpu.example.com"]'
C = 'device.capacity["gpu.example.com"]'


def evaluate(text, device=GPU, features=EVERYTHING):
    program = compile_expression(text, features)
    assert isinstance(program, Program), program
    return program.matches(device)


TRUE = {
    "device": [
        'device.driver == "gpu.example.com"',
        'device.driver.endsWith("example.com")',
        "device.allowMultipleAllocations",
        f"{G}.fast",
        f'{G}["fast"]',
        f"{G}.cores == 8 && {G}.cores == 8.0 && {G}.cores >= 4",
        f'{G}.model == "A100"',
        f'{G}.model in ["H100", "A100"]',
        'device.attributes["other.example.com"].socket == "left"',
        'device.attributes["gpu.example.com"][?"other.example.com/socket"] == optional.none()',
        'device.attributes[device.driver]["co" + "res"] == 8',
        'cel.bind(gpu, device.attributes["gpu.example.com"], gpu.fast && gpu.cores == 8)',
        'cel.bind(d, device, d.driver == "gpu.example.com" && d.attributes["gpu.example.com"].cores == 8)',
        "device == device",
        "device.attributes.size() == 2",
        'device.attributes.exists_one(domain, domain == "gpu.example.com")',
        f'{G}.exists(name, name == "cores")',
        'device.attributes.all(domain, values, values.size() > 0 && domain != "")',
        '[{"driver": "x"}].exists(device, device.driver == "x")',
    ],
    "an unknown domain is an empty map": [
        'device.attributes["nope"] == {}',
        'device.capacity["nope"].size() == 0',
        '!("nope" in device.attributes)',
        '"gpu.example.com" in device.attributes',
        'device.attributes[?"nope"].hasValue()',
        "has(device.attributes.nope)",
        "!has(device.attributes.nope.x)",
        '!device.attributes[?"nope"][?"x"].hasValue()',
    ],
    "an unknown name can be asked for safely": [
        f"!has({G}.nope) && has({G}.cores)",
        f'!("nope" in {G}) && "cores" in {G}',
        f'{G}[?"nope"].orValue(5) == 5',
        f"{G}.?cores.orValue(5) == 8",
        f"{G}.?nope.or(optional.of(3)).value() == 3",
        f"{G}.?cores.optMap(c, c + 1).orValue(0) == 9",
        f"!{G}.?nope.optMap(c, c + 1).hasValue()",
        f"{C}.?memory.hasValue()",
    ],
    "errors are absorbed by what does not need them": [
        f"{G}.nope == 1 || true",
        f"true || {G}.nope == 1",
        f"!({G}.nope == 1 && false)",
        f"true ? true : {G}.nope",
        "[1, 0].exists(x, 1 / x > 0)",
        "[0, 1].exists(x, 1 / x > 0)",
        "![0, 1].all(x, 1 / x < 0)",
        "cel.bind(x, 1 / 0, true)",
    ],
    "attributes that are lists": [
        f'"red" in {G}.tags',
        f'{G}.tags.includes("blue") && !{G}.tags.includes("green")',
        f"{G}.cores.includes(8) && !{G}.cores.includes(9) && !{G}.model.includes(8)",
        f'{G}.tags == ["red", "blue"] && {G}.tags[1] == "blue" && {G}.tags.size() == 2',
        f"{G}.lanes.sum() == 3",
        f'{G}.versions.all(v, v.isGreaterThan(semver("0.9.0"))) && {G}.versions.includes(semver("1.0.0"))',
        f'sets.contains({G}.tags, ["red"])',
        f'{G}.tags.map(t, t + "!") == ["red!", "blue!"]',
    ],
    "quantities": [
        f'{C}.memory.isGreaterThan(quantity("39.9Gi")) && {C}.memory.isLessThan(quantity("1T"))',
        f'{C}.memory == quantity("42949672960") && {C}.memory.compareTo(quantity("40Gi")) == 0',
        f"{C}.memory.asInteger() == 42949672960 && {C}.memory.sub(1).asInteger() == 42949672959",
        'quantity("1Ki").add(quantity("24")).compareTo(quantity("1048")) == 0',
        'quantity("1500m").asApproximateFloat() == 1.5 && sign(quantity("-1")) == -1',
        'quantity("1k").isInteger() && !quantity("1500m").isInteger() && !quantity("1000m").isInteger()',
        'isQuantity("1.5Gi") && isQuantity("1e3") && isQuantity(".5") && isQuantity("5.") && isQuantity("+1")',
        '!isQuantity("") && !isQuantity("1.5.5") && !isQuantity("1ki") && !isQuantity(" 1") && !isQuantity("1e")',
        'quantity("0.1n") == quantity("1n")',
        'quantity("16Ei") == quantity("9223372036854775807")',
    ],
    "versions": [
        f'{G}.version.isGreaterThan(semver("1.2.2")) && {G}.version == semver("1.2.3+build")',
        f"{G}.version.major() == 1 && {G}.version.minor() == 2 && {G}.version.patch() == 3",
        'semver("1.0.0-alpha").isLessThan(semver("1.0.0"))',
        'semver("1.0.0-1").compareTo(semver("1.0.0-a")) == -1',
        'semver("v01.02", true) == semver("1.2.0")',
        'isSemver("1.2.3-rc.1+b.2") && !isSemver("1.2") && !isSemver("v1.2.3") && !isSemver("01.2.3")',
        'isSemver("v1.2.3", true) && isSemver("1", true) && !isSemver("1-rc", true) && !isSemver("", true)',
    ],
    "numbers": [
        "dyn(1) == 1.0 && dyn(1) == 1u && 1u < 2.5 && 2 > 1u",
        "-7 / 2 == -3 && -7 % 2 == -1 && 7 % -2 == 1",
        "1.0 / 0.0 > 1.0 && !(0.0 / 0.0 == 0.0 / 0.0)",
        "0x10 == 16 && 1e3 == 1000.0 && 9223372036854775807 > 0",
        'int("12") == 12 && int(-1.9) == -1 && uint(1) == 1u && double("1.5") == 1.5',
        'string(1.0) == "1" && string(1e6) == "1e+06" && string(0.00001) == "1e-05" && string(-0.5) == "-0.5"',
    ],
    "strings count characters": [
        '"é😀".size() == 2 && "😀a".substring(1) == "a" && "😀a".indexOf("a") == 1',
        '"abc".charAt(1) == "b" && "abc".charAt(3) == "" && "abcabc".lastIndexOf("c", 4) == 2',
        '"a-b-c".replace("-", "+", 1) == "a+b-c" && "ab".replace("", "-") == "-a-b-"',
        '"a,b,c".split(",", 2) == ["a", "b,c"] && "abc".split("") == ["a", "b", "c"] && "a".split(",", 0) == []',
        '["a", "b"].join("-") == "a-b" && "ABCÄ".lowerAscii() == "abcÄ" && " a ".trim() == "a"',
        r'strings.quote("a\"b\n") == "\"a\\\"b\\n\""',
        '"%s %d %.2f %b %x".format(["a", 1, 1.5, 2, 255]) == "a 1 1.50 10 ff"',
        'string(b"abc") == "abc" && bytes("é").size() == 2',
    ],
    "regular expressions": [
        f'{G}.model.matches("^A[0-9]+$") && !matches(device.driver, "^gpu$")',
        '"abc".find("[b-z]+") == "bc" && "abc".find("x") == ""',
        '"abab".findAll("a(b)") == ["ab", "ab"] && "abab".findAll("b", 1) == ["b"]',
    ],
    "lists, maps and sets": [
        "[3, 1, 2].sort() == [1, 2, 3] && [3, 1].sortBy(x, -x) == [3, 1] && [1, 2, 2].distinct() == [1, 2]",
        "[[1], [2, 3]].flatten() == [1, 2, 3] && lists.range(3) == [0, 1, 2] && [1, 2].reverse() == [2, 1]",
        "[1, 2, 3].slice(1, 2) == [2] && [1].first().value() == 1 && ![].last().hasValue()",
        '[1.5, 2.5].sum() == 4.0 && [1, 3].max() == 3 && ["b", "a"].min() == "a" && [1, 2].isSorted()',
        "[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2",
        "sets.contains([1, 2], [1]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])",
        "[1, 2, 3].map(x, x > 1, x * 2) == [4, 6] && [1, 2].filter(x, x > 1) == [2]",
        "[1, 2].exists(i, v, i == 1 && v == 2) && [5].all(i, v, i == 0) && [1, 2].existsOne(i, v, v == 2)",
        '[1, 2].transformList(i, v, i + v) == [1, 3] && {"a": 1}.transformMap(k, v, v + 1) == {"a": 2}',
        '{"a": "b"}.transformMapEntry(k, v, {v: k}) == {"b": "a"}',
        '{1: "a"}[dyn(1u)] == "a" && {true: 1}.exists(k, k)',
        "[?optional.of(1), ?optional.none()] == [1] && {?1: optional.none()} == {}",
        "[1, 2].map(x, [x].map(x, x + 1)[0]) == [2, 3]",
        "optional.unwrap([optional.of(1), optional.none()]) == [1]",
    ],
    "times": [
        'duration("1h30m").getMinutes() == 90 && string(duration("1.5s")) == "1.5s"',
        'timestamp("2024-01-02T03:04:05Z").getHours("+02:00") == 5 && timestamp(0).getFullYear() == 1970',
        'timestamp("2024-01-02T03:04:05Z") - duration("5s") == timestamp("2024-01-02T03:04:00Z")',
        'string(timestamp("2024-01-02T03:04:05.50Z")) == "2024-01-02T03:04:05.5Z"',
    ],
    "networks and formats": [
        'ip("::0:1") == ip("::1") && string(ip("::0:1")) == "::1" && ip("10.0.0.1").family() == 4',
        '!isIP("1.2.3.04") && !isIP("::ffff:1.2.3.4") && !isIP("fe80::1%eth0") && !ip.isCanonical("::0:1")',
        'cidr("10.0.0.0/8").containsIP("10.1.2.3") && !cidr("10.0.0.0/8").containsIP(ip("11.1.2.3"))',
        'cidr("10.0.0.0/8").containsCIDR("10.1.0.0/16") && cidr("10.0.0.1/8").masked() == cidr("10.0.0.0/8")',
        'url("https://u@example.com:80/a b?k=1&k=2").getHost() == "example.com:80" && !isURL("../x")',
        'url("https://example.com:80/a b?k=1&k=2").getQuery() == {"k": ["1", "2"]}',
        '!format.dns1123Label().validate("abc").hasValue() && format.dns1123Label().validate("A").hasValue()',
        'format.named("uuid").hasValue() && !format.named("x").hasValue()',
    ],
    "types": [
        f'type({G}.version) == type(semver("1.0.0")) && type({G}.cores) == int && type(null) == null_type',
        'type(device.attributes) == map && type("") == string && type(type(1)) == type',
    ],
}  # fmt: skip
ROWS = [pytest.param(text, id=f"{rule}: {text}") for rule, texts in TRUE.items() for text in texts]


@pytest.mark.parametrize("text", ROWS)
def test_it_is_true(text):
    assert evaluate(text) is True


ERRORS = {
    f"{G}.nope": "no such key: nope",
    f'{G}["nope"] == 1': "no such key: nope",
    'device.attributes["nope"].x == 1': "no such key: x",
    f"{C}.nope.isGreaterThan(quantity('1'))": "no such key: nope",
    f"{G}.nope == 1 || false": "no such key: nope",
    f"{G}.nope == 1 && true": "no such key: nope",
    f"{G}.cores": "CEL result of type int could not be converted to bool",
    f"{G}.version": "CEL result of type kubernetes.Semver could not be converted to bool",
    f"{G}.version == 1": "no such overload",
    f'dyn({C}.memory) == "40Gi"': "no such overload",
    f'{G}.cores < "a"': "no such overload",
    f'{G}.cores.startsWith("a")': "no such overload",
    f"{G}.model.size() == {G}.cores.size()": "no such overload",
    f'{G}.model.isGreaterThan(semver("1.0.0"))': "no such overload",
    f"{G}.cores.exists(x, x == 1)": "got 'types.Int', expected iterable type",
    f"{G}.version.exists(x, x == 1)": "got 'cel.Semver', expected iterable type",
    f"{G}.cores ? true : false": "no such overload",
    "9223372036854775807 + 1 > 0": "integer overflow",
    "-(-9223372036854775808) > 0": "integer overflow",
    "-9223372036854775808 / -1 > 0": "integer overflow",
    "0u - 1u == 1u": "unsigned integer overflow",
    "1 / 0 == 1": "division by zero",
    "1 % 0 == 1": "modulus by zero",
    "[1][1] == 1": "index out of bounds: 1",
    "[1][-1] == 1": "index out of bounds: -1",
    "optional.none().value() == 1": "optional.none() dereference",
    "[].max() == 0": "max called on empty list",
    'quantity("1500m").asInteger() == 1': "cannot convert value to integer",
    'quantity("1x") == quantity("1")': "unable to parse quantity's suffix",
    'semver("1.0").major() == 1': "not a semantic version",
    f'int({G}.model) == 1': "invalid syntax",
    f'"x".matches({G}.model + "(")': "Illegal regex",
    '"abc".substring(4) == ""': "index out of range: 4",
    'timestamp("9999-12-31T23:59:59Z") + duration("1s") > timestamp(0)': "timestamp overflow",
    '{"a": "c", "b": "c"}.transformMapEntry(k, v, {v: k}) == {}': "key c already exists",
    "lists.range(49).includes(48)": "cannot be applied to lists longer than 48 values",
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), ERRORS.items())
def test_it_is_an_error_of_ours(text, message):
    with pytest.raises(SelectorError) as caught:
        evaluate(text)
    assert message in str(caught.value)


def test_what_cannot_be_compared_is_unequal():
    assert evaluate(f"{G}.version != 1") is True
    assert evaluate(f"dyn({C}.memory) != 1") is True


def test_equality_with_a_proud_type_on_the_right_is_false():
    assert evaluate(f'"1.2.3" == {G}.version') is False
    assert evaluate(f"1 == dyn({C}.memory)") is False
