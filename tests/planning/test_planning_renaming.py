"""Laws of the renaming: order, parts and identity of names are kept."""

from hypothesis import given
from hypothesis import strategies as st

from kai_py.planning.renaming import WORDS, Renaming, words_of

PARTS = st.one_of(
    st.sampled_from([*WORDS, "team", "p", "pga", "zeta", "Big_one", "ab", "a"]), st.text("abcpqxyz019", max_size=5)
)
NAMES = st.lists(PARTS, min_size=1, max_size=4).flatmap(
    lambda parts: st.sampled_from("-./").map(lambda between: between.join(parts))
)


def renaming(*names):
    return Renaming(word for name in names for word in words_of(name))


@given(NAMES, NAMES)
def test_order_and_identity_are_kept(a, b):
    of = renaming(a, b).of
    assert (of(a) < of(b), of(a) == of(b)) == (a < b, a == b)


@given(NAMES, NAMES)
def test_a_name_that_is_made_of_others_is_made_of_their_new_names(a, b):
    of = renaming(a, b).of
    assert of(f"pg-{a}-{b}") == f"pg-{of(a)}-{of(b)}"


@given(st.lists(NAMES, min_size=1, max_size=30))
def test_words_that_are_not_the_schedulers_own_are_gone(names):
    of = renaming(*names).of
    before = {word for name in names for word in words_of(name)} - {*WORDS}
    codes = {of(word) for word in before}
    assert len(codes) == len(before)
    assert not codes & {*WORDS}


def test_many_words_get_longer_codes_in_order():
    words = [f"r{a}{b}{c}" for a in "abcdefghijklmnopqrstuvwxyz" for b in "abcdefghijklmnopqrstuvwxyz" for c in "ab"]
    of = Renaming(words).of
    codes = [of(word) for word in words]
    assert codes == sorted(set(codes))
    assert {len(code) for code in codes} == {4}
