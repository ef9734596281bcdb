"""``x-kubernetes-validations``: the CEL rules of a custom kind's schema, evaluated as a kube-apiserver does.

Google's CEL checks and evaluates. Not there are Kubernetes' own functions (``quantity``, ``isSorted``, ``format``, …),
``optionalOldSelf``, the estimate of what a rule may cost, and fields of dates and durations as such: a definition that
needs one of the first two is refused, because a rule that is accepted has to hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

from cel_expr_python import cel

from kai_py.core.dra.cel.libraries import EXTENSIONS
from kai_py.minicluster.refusals import Cause, Faults

Schema = dict[str, Any]

RULES: Final = "x-kubernetes-validations"
_LIBRARIES: Final = f"name: rules\n{EXTENSIONS}"
_OLD: Final = re.compile(r"\boldSelf\b")
#: Words of the language; a field of such a name is ``self.__in__``.
_WORDS: Final = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_SPELLED: Final = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_ODD: Final = re.compile("|".join(map(re.escape, _SPELLED)))
#: Faults after which a kube-apiserver does not look at rules.
_BLOCKING: Final = frozenset(
    f"FieldValue{word}" for word in ("Required", "NotSupported", "TooLong", "TooMany", "TypeInvalid")
)
_BLOCKED: Final = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete"
    " validation"
)
#: In front of what an evaluation could not do.
_CODE: Final = re.compile(r"^[A-Z_]+: ")
_FAILED: Final = "failed rule: "
#: Instead of an old value, where there is none that corresponds.
_NONE: Final = object()


class Rule(NamedTuple):
    """One rule, ready to be asked.

    Attributes:
        program: a truth value of ``self`` and ``oldSelf``.
        is_transition: it compares with the old value, and is only asked where there is one.
        message: evaluates to the fault's text; None for a fixed one.
        text: the fixed one.
        field: of the fault, below the rule's own place.
        reason: of the fault.
    """

    program: cel.Expression
    is_transition: bool
    message: cel.Expression | None
    text: str
    field: str
    reason: str


@lru_cache(maxsize=1)
def _environment() -> cel.Env:
    variables = {"self": cel.Type("dyn"), "oldSelf": cel.Type("dyn")}
    return cel.NewEnv(config=cel.NewEnvConfigFromYaml(_LIBRARIES), variables=variables)


@lru_cache(maxsize=4096)
def _compiled(text: str) -> cel.Expression:
    return _environment().compile(text)


def check_rules(schema: Schema, path: str, faults: Faults) -> None:
    """Add the rules of a schema, and of all below it, that cannot be evaluated here. ``path`` is the schema's own."""
    for row, given in enumerate(schema.get(RULES) or ()):
        here = f"{path}.{RULES}[{row}]"
        if given.get("optionalOldSelf"):
            faults.not_supported(f"{here}.optionalOldSelf", True, ["false"])
        for key in ("rule", "messageExpression"):
            try:
                if given.get(key):
                    _compiled(given[key])
            except (RuntimeError, ValueError, LookupError) as error:
                faults.invalid(f"{here}.{key}", given[key], f"cannot be evaluated here: {error}")
    for name, below in _children(schema):
        check_rules(below, f"{path}.{name}", faults)


def _children(schema: Schema) -> Iterator[tuple[str, Schema]]:
    for name, below in (schema.get("properties") or {}).items():
        yield f"properties[{name}]", below
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield name, schema[name]


def has_rules(schema: Schema) -> bool:
    """Whether a schema, or one below it, has rules."""
    return bool(schema.get(RULES)) or any(has_rules(below) for _, below in _children(schema))


def evaluate(obj: Schema, old: Schema | None, schema: Schema, faults: Faults) -> None:
    """Add every rule that an object breaks.

    What has not changed since ``old`` is let pass, as far as the two can be matched; entries of lists without keys
    cannot, and stand or fall with their list.
    """
    if any(cause.reason in _BLOCKING for cause in faults):
        if has_rules(schema):
            faults.append(Cause("FieldValueInvalid", "<nil>", f'Invalid value: "null": {_BLOCKED}'))
        return
    same = old is not None and _content(old) == _content(obj)
    _walk(obj, _NONE if old is None else old, schema, "", faults, is_same=same)


def _content(obj: Schema) -> Schema:
    return {key: value for key, value in obj.items() if key != "metadata"}


def _walk(value: Any, old: Any, schema: Schema, path: str, faults: Faults, *, is_same: bool) -> None:
    for given in schema.get(RULES) or ():
        rule = _rule(given)
        if rule.is_transition and old is _NONE:
            continue
        if rule.is_transition or not is_same:
            _ask(rule, value, old, schema, path, faults)
    for name, below, child, child_old in _parts(value, old, schema):
        same = child == child_old if child_old is not _NONE else is_same
        here = f"{path}{name}" if path or not name.startswith(".") else name[1:]
        _walk(child, child_old, below, here, faults, is_same=same)


def _parts(value: Any, old: Any, schema: Schema) -> Iterator[tuple[str, Schema, Any, Any]]:
    """The parts of a value: name, schema, value, old value."""
    if isinstance(value, dict):
        fields, others = schema.get("properties") or {}, schema.get("additionalProperties")
        before = old if isinstance(old, dict) else {}
        for key, child in value.items():
            if key in fields:
                yield f".{key}", fields[key], child, before.get(key, _NONE)
            elif isinstance(others, dict):
                yield f"[{key}]", others, child, before.get(key, _NONE)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        keys = schema.get("x-kubernetes-list-map-keys") or ()
        known = _by_key(old, keys) if keys and isinstance(old, list) else {}
        for row, child in enumerate(value):
            yield f"[{row}]", schema["items"], child, known.get(_key(child, keys), _NONE) if known else _NONE


def _by_key(items: list[Any], keys: list[str]) -> dict[tuple[str, ...], Any]:
    return {_key(item, keys): item for item in items}


def _key(item: Any, keys: Any) -> tuple[str, ...]:
    return tuple(repr(item.get(key)) for key in keys) if isinstance(item, dict) else (repr(item),)


def _rule(given: Schema) -> Rule:
    text = given.get("rule", "")
    message = given.get("messageExpression")
    return Rule(
        program=_compiled(text),
        is_transition=bool(_OLD.search(text)),
        message=_compiled(message) if message else None,
        text=given.get("message") or f"{_FAILED}{text}",
        field=given.get("fieldPath") or "",
        reason=given.get("reason") or "FieldValueInvalid",
    )


def _ask(rule: Rule, value: Any, old: Any, schema: Schema, path: str, faults: Faults) -> None:
    data = {"self": _typed(value, schema)}
    if rule.is_transition:
        data["oldSelf"] = _typed(old, schema)
    answer = rule.program.eval(data=data).value()
    if answer is True:
        return
    field = f"{path}{rule.field}".lstrip(".") or "<nil>"
    if answer is not False:
        faults.invalid(
            field,
            schema.get("type", ""),
            f"{_CODE.sub('', str(answer))} evaluating rule: {rule.text.removeprefix(_FAILED)}",
        )
        return
    text = rule.text
    if rule.message is not None:
        said = rule.message.eval(data=data).value()
        text = said.strip() if isinstance(said, str) and said.strip() and "\n" not in said else text
    match rule.reason:
        case "FieldValueForbidden":
            faults.forbidden(field, text)
        case "FieldValueRequired":
            faults.required(field, text)
        case "FieldValueDuplicate":
            faults.duplicate(field, value)
        case _:
            _invalid(faults, field, value, text)


def _invalid(faults: Faults, field: str, value: Any, text: str) -> None:
    """Values that have parts are not shown."""
    if isinstance(value, dict | list):
        faults.append(Cause("FieldValueInvalid", field, f"Invalid value: {text}"))
    else:
        faults.invalid(field, value, text)


def _typed(value: Any, schema: Schema) -> Any:
    """A value as rules see it: numbers of the declared type, fields under names that the language can write."""
    match schema.get("type"):
        case "number" if isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        case "integer" if isinstance(value, float):
            return int(value)
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [_typed(item, schema["items"]) for item in value]
    if isinstance(value, dict):
        fields, others = schema.get("properties") or {}, schema.get("additionalProperties")
        if fields:
            return {_spelled(key): _typed(child, fields.get(key, {})) for key, child in value.items()}
        if isinstance(others, dict):
            return {key: _typed(child, others) for key, child in value.items()}
    return value


def _spelled(name: str) -> str:
    return f"__{name}__" if name in _WORDS else _ODD.sub(lambda found: _SPELLED[found[0]], name)
