"""Expressions that want to stall or crash the scheduler."""

import sys
import threading

import pytest

from kai_py.core.dra.cel import CelDevice, CelError, CostBudget, Program, SelectorError, compile_expression
from kai_py.core.dra.cel.bounds import MAX_SIZE

DEVICE = CelDevice("d")
TEN = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"
LONG = "lists.range(9000).map(x, 'aaaaaaaaaa').join('')"
THOUSAND = "[" + ",".join(["1"] * 1000) + "]"


def answer(text):
    program = compile_expression(text)
    assert isinstance(program, Program), program
    try:
        return program.matches(DEVICE)
    except SelectorError as error:
        return str(error)


def nested(loop, depth, body):
    return "".join(f"{loop}.all(x{level}, " for level in range(depth)) + body + ")" * depth


@pytest.mark.parametrize(
    "text",
    [
        nested(TEN, 8, "true"),
        nested(THOUSAND, 3, "x0 + x1 + x2 > 0"),
        f"{THOUSAND}.map(a, {THOUSAND}.map(b, {THOUSAND})).size() > 0",
        "lists.range(99999).all(x, lists.range(99999).all(y, true))",
        "lists.range(90000).distinct().size() > 0",
        "sets.contains(lists.range(90000), lists.range(90000))",
        "lists.range(90000).sort().size() > 0",
        "cel.bind(l, lists.range(90000), l.all(x, l.exists(i, v, v == 0)))",
    ],
)
def test_what_costs_too_much_is_stopped(text):
    assert answer(text) == "operation cancelled: actual cost limit exceeded"


def doubled(start, combined, result):
    """``start``, combined with itself 28 times over."""
    binds = "".join(f"cel.bind(a{n + 1}, {combined.format(f'a{n}')}, " for n in range(28))
    return f"cel.bind(a0, {start}, {binds}{result})" + ")" * 28


@pytest.mark.parametrize(
    "text",
    [
        "lists.range(1000000000).size() > 0",
        doubled("'aaaaaaaaaa'", "{0} + {0}", "a28.size() > 0"),
        doubled("[1, 2, 3, 4]", "{0} + {0}", "a28.size() > 0"),
        "'aaaaaaaaaaaaaaaaaaaa'" + ".replace('a', 'aaaaaaaaaaaaaaaaaaaa')" * 6 + ".size() > 0",
        "lists.range(9000).map(x, 'aaaaaaaaaaaaaaaaaaaaaaaaa').join('').size() > 0",
        "lists.range(90000).map(i, '%s'.format([lists.range(90000)])).size() > 0",
    ],
)
def test_no_value_becomes_too_large(text):
    message = answer(text)
    assert "is too large" in message or "does too much work" in message or "cost limit exceeded" in message
    assert MAX_SIZE < 10**6


@pytest.mark.parametrize(
    "text",
    [
        doubled("[1]", "[{0}, {0}]", "a28 == a28"),
        "cel.bind(l, lists.range(90000), lists.range(90000).all(x, (l + []).size() > 0))",
        "cel.bind(m, {'a': lists.range(90000)}, lists.range(90000).all(i, m == m))",
        "lists.range(5000).all(i, !'a'.matches('[a-z]{500}(b|c){300}' + string(i)))",
        f"{LONG}.matches('([ab]?){{900}}c')",
        f"{LONG}.findAll('.*c|a').size() > 0",
        f"cel.bind(s, {LONG}, lists.range(99).all(i, s.findAll('a').size() > 0))",
        f"cel.bind(s, 'https://x/' + {LONG}, lists.range(900).all(i, isURL(s)))",
    ],
)
def test_work_that_costs_do_not_count_is_stopped(text):
    assert "does too much work" in answer(text)


def test_nothing_absorbs_a_limit():
    loop = nested(TEN, 8, "true")
    assert "cost limit exceeded" in answer(f"{loop} || true")
    assert "cost limit exceeded" in answer(f"!({loop} && false)")
    assert "is too large" in answer("lists.range(1000000000).size() > 0 || true")


def test_the_cost_is_what_kubernetes_counts():
    program = compile_expression('device.driver == "d" && device.attributes["d"].exists(k, k == "a")')
    assert program.evaluate(CelDevice("d", {"a": 1})) == (True, 13)


def devices(count):
    return [CelDevice("d", {"uuid": f"{number}"}) for number in range(count)]


def test_a_search_over_many_devices_has_a_budget():
    program = compile_expression(f'device.attributes["d"].uuid != "" && {nested(TEN, 3, "x0 >= 0")}')
    cost = program.evaluate(devices(1)[0])[1]
    budget = CostBudget(cost * 5 + cost // 2)
    assert [program.matches(device, budget) for device in devices(5)] == [True] * 5
    assert budget.left == cost // 2
    with pytest.raises(SelectorError, match="selectors of this search cost too much together"):
        program.matches(devices(6)[5], budget)
    assert budget.left < 0


def test_a_remembered_answer_costs_no_budget_and_a_budget_changes_no_answer():
    program = compile_expression(f'device.attributes["d"].uuid != "x" && {nested(TEN, 3, "x0 >= 0")}')
    device = devices(1)[0]
    with pytest.raises(SelectorError, match="cost too much together"):
        program.matches(device, CostBudget(5))
    assert program.matches(device) is True
    spent = CostBudget(0)
    assert program.matches(device, spent) is True
    assert spent.left == 0


def test_errors_and_work_use_the_budget_too():
    budget = CostBudget(10**6)
    with pytest.raises(SelectorError, match="division by zero"):
        compile_expression("lists.range(9).map(x, x).size() / 0 == 1").matches(DEVICE, budget)
    after_error = budget.left
    assert after_error < 10**6
    with pytest.raises(SelectorError, match="too much work"):
        compile_expression(doubled("[1]", "[{0}, {0}]", "a28 == a28 || false")).matches(DEVICE, budget)
    assert budget.left < after_error - 400_000


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "true" + ")" * 5000,
        "(" * 10_000,
        "[" * 5000 + "]" * 5000,
        "{1: " * 2000 + "1" + "}" * 2000,
        "true ? true : " * 700 + "true",
        "+".join(["1"] * 5000),
        'device.attributes["d"]' + ".a" * 4000,
        '"a"' + ".trim()" * 1400,
        nested("[1]", 500, "true"),
        "cel.bind(x, 1, " * 600 + "x == 1" + ")" * 600,
        "!(" * 3000 + "true" + ")" * 3000,
    ],
    ids=lambda text: text[:24],
)
def test_deep_nesting_is_refused(text):
    error = compile_expression(text)
    assert isinstance(error, CelError)
    assert "recursion" in error.message


def with_stack_left(frames, call):
    """Call with this many frames left on the stack."""
    used, frame = 0, sys._getframe()
    while frame is not None:
        used, frame = used + 1, frame.f_back

    def below(more):
        return call() if more <= 0 else below(more - 1)

    return below(sys.getrecursionlimit() - used - frames)


def test_the_deepest_nesting_that_is_accepted_needs_a_third_of_the_stack():
    text = nested("[1]", 30, "true")
    assert with_stack_left(330, lambda: answer(text)) is True


def test_a_full_stack_is_an_error_that_passes():
    text = nested("[1]", 29, "true && true")
    error = with_stack_left(80, lambda: compile_expression(text))
    assert error.message == "cannot be compiled here: RecursionError"
    program = compile_expression(text)
    with pytest.raises(SelectorError, match="internal error: RecursionError"):
        with_stack_left(40, lambda: program.matches(DEVICE))
    assert program.matches(DEVICE) is True


def test_ten_thousand_parentheses_are_refused_by_length():
    assert "longer than" in compile_expression("(" * 10_000 + "true" + ")" * 10_000).message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("!" * 10_000 + "true", True),
        ("- " * 4000 + "1 == 1", True),
        (" && ".join(["true"] * 1200), True),
        ("||".join(["1/0==1"] * 1200), "division by zero"),
        ("[" + ",".join(["1"] * 5000) + "].all(x, x == 1)", True),
        ('"' + "a" * 10_000 + '" == ""', False),
        ("'" + "a" * 60 + "'.matches('(a*)*(a|aa)*b')", False),
    ],
    ids=lambda value: str(value)[:24],
)
def test_long_expressions_that_kubernetes_accepts_are_answered(text, expected):
    assert answer(text) == expected


def test_evaluations_in_threads_do_not_disturb_each_other():
    texts = [f'device.attributes["d"].n == {n} || [{n}].exists(x, x == {n % 7})' for n in range(40)]
    devices = [CelDevice("d", {"n": n}) for n in range(10)]
    expected = [[n == m or n == n % 7 for m in range(10)] for n in range(40)]
    failures = []

    def work():
        for text, wanted in zip(texts, expected, strict=True):
            found = [compile_expression(text).evaluate(device)[0] for device in devices]
            if found != wanted:
                failures.append((text, found))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []
