from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.api.quantity import MAX_UNITS, format_quantity, parse_quantity, to_units


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("1", 1),
        ("500m", Fraction(1, 2)),
        ("100n", Fraction(1, 10**7)),
        ("3u", Fraction(3, 10**6)),
        ("1k", 1000),
        ("1E", 10**18),
        ("1E3", 1000),
        ("1e-3", Fraction(1, 1000)),
        ("16Gi", 16 * 2**30),
        ("1.5Mi", 3 * 2**19),
        ("0.1Ki", Fraction(1024, 10)),
        ("-2", -2),
        ("+2M", 2_000_000),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        (7, 7),
        (0.1, Fraction(1, 10)),
        (1e22, 10**22),
    ],
)
def test_a_quantity_is_read_exactly(text, value):
    assert parse_quantity(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "-",
        "m",
        "1 Gi",
        " 1",
        "1\n",
        "1gi",
        "1KI",
        "1K",
        "0x10",
        "1e",
        "1.2.3",
        "1_000",
        "NaN",
        "inf",
        "١",
        "1Gim",
        True,
    ],
)
def test_what_is_no_quantity_is_refused_with_its_text(text):
    with pytest.raises(ValueError, match=r"quantity|suffix"):
        parse_quantity(text)


@pytest.mark.parametrize("text", ["1e1000000000", "1e-1000000000", "9" * 1000])
def test_absurd_quantities_are_refused_at_once(text):
    with pytest.raises(ValueError, match=r"exponent|quantity"):
        parse_quantity(text)


def test_base_units_round_up():
    assert to_units("0.1m", per_unit=1000) == 1
    assert to_units("1500m") == 2
    assert to_units("250m", per_unit=1000) == 250


def test_a_thousand_of_the_largest_amounts_fit_into_int64():
    assert to_units("100E") == MAX_UNITS
    assert 1000 * MAX_UNITS < 2**63


@pytest.mark.parametrize(
    ("value", "binary", "text"),
    [
        (0, False, "0"),
        (1000, False, "1k"),
        (Fraction(1, 2), False, "500m"),
        (1500, False, "1500"),
        (1024, True, "1Ki"),
        (1023, True, "1023"),
        (3 * 2**29, True, "1536Mi"),
        (1025, True, "1025"),
        (-(2**30), True, "-1Gi"),
        (Fraction(1, 10**10), False, "1n"),
    ],
)
def test_quantities_are_written_in_their_canonical_form(value, binary, text):
    assert format_quantity(value, binary=binary) == text


@given(nanos=st.integers(-(10**30), 10**30), binary=st.booleans())
def test_what_is_written_is_read_back(nanos, binary):
    value = Fraction(nanos, 10**9)
    assert parse_quantity(format_quantity(value, binary=binary)) == value


@given(whole=st.integers(-(10**40), 10**40), exponent=st.integers(-30, 30))
def test_an_exponent_is_a_power_of_ten(whole, exponent):
    assert parse_quantity(f"{whole}e{exponent}") == whole * Fraction(10) ** exponent
