"""Parse and type-check an expression: Google's CEL (cel-cpp) in the wrapper cel-expr-python.

What the wrapper must be told is written here: which libraries Kubernetes loads, the functions it adds, and the type
of the variable ``device``. Its evaluator is not used; docs/decisions/0006-cel.md says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cel_expr_python import cel

from kai_py.core.dra.cel.errors import CelError
from kai_py.core.dra.cel.libraries import EXTENSIONS
from kai_py.core.dra.cel.library import OVERLOADS
from kai_py.core.dra.cel.library.lists import INCLUDES
from kai_py.core.dra.cel.library.overload import Overload
from kai_py.core.dra.cel.syntax import CheckedExpression, read_checked

#: Kubernetes refuses longer selectors (``CELSelectorExpressionMaxLength``, in bytes).
MAX_LENGTH: Final = 10 * 1024
#: A hostile expression can have thousands of faults; nobody reads more than these.
_LONGEST_MESSAGE: Final = 2000

_LIBRARIES: Final = f"""
name: selector
stdlib:
  exclude_functions:
  - name: string
{EXTENSIONS}"""
#: Methods of strings as well. An extension may add overloads to a known function, a plain declaration may not; but
#: an extension takes Kubernetes' own types for ``dyn``. ``string`` needs both, so the standard one is left out; and
#: only an extension can return optionals.
_MERGED: Final = frozenset({"indexOf", "lastIndexOf", "format.named", "validate", "optional.unwrap", "unwrapOpt"})
_POSITION: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): ")
_NUMBERS: Final = ("int", "uint", "double")
_GENERIC: Final = re.compile(r"(?P<name>\w+)<(?:string, )?(?P<parameter>.+)>")
_STATUS: Final = re.compile(r"^[A-Z_]+: (?P<message>.*) \[[A-Z_]+\]$", re.DOTALL)


@dataclass(frozen=True)
class CelFeatures:
    """What the API server and the scheduler have switched on, and whose expression it is.

    Attributes:
        consumable_capacity: ``device.allowMultipleAllocations`` exists (feature gate DRAConsumableCapacity).
        list_type_attributes: attributes may be lists, ``includes`` exists (DRAListTypeAttributes).
        stored: the expression comes from the API server, so everything known is declared whatever the gates say;
            otherwise it is being created.
    """

    consumable_capacity: bool = True
    list_type_attributes: bool = False
    stored: bool = True


def check(text: str, features: CelFeatures) -> CheckedExpression | CelError:
    """Parse and type-check.

    Returns:
        The tree with its types, or what is wrong: syntax, an unknown name, a type, more than 32 levels of nesting.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_LENGTH:
        return CelError(f"the expression is longer than {MAX_LENGTH} bytes")
    try:
        text.encode()
    except UnicodeEncodeError:
        return CelError("the expression is not valid UTF-8")
    environment = _environment(features)
    try:
        serialized = environment.compile(text).serialize()
    except (RuntimeError, ValueError, LookupError) as error:
        match = _STATUS.match(str(error))
        return compile_error(match["message"] if match else str(error))
    return read_checked(serialized)


def compile_error(detail: str) -> CelError:
    """An error in the words of kube-apiserver, with its first position."""
    if len(detail) > _LONGEST_MESSAGE:
        detail = detail[:_LONGEST_MESSAGE] + " …"
    position = _POSITION.search(detail)
    line, column = (int(position[1]), int(position[2])) if position else (0, 0)
    return CelError(f"compilation failed: {detail}", max(line, 0), max(column, 0))


def error_at(text: str, offset: int, message: str) -> CelError:
    """An error at a code point of the expression, laid out like the checker's own."""
    before = text[:offset]
    line, column = before.count("\n") + 1, offset - before.rfind("\n")
    shown = text.split("\n")[line - 1]
    return compile_error(f"ERROR: <input>:{line}:{column}: {message}\n | {shown}\n | {'.' * (column - 1)}^")


@lru_cache(maxsize=8)
def _environment(features: CelFeatures) -> cel.Env:
    attribute = "dyn" if features.list_type_attributes else "any"
    includes = features.stored or features.list_type_attributes
    declared = [each for each in OVERLOADS if each.declare and (each is not INCLUDES or includes)]
    variables = {
        # For the rare expression that hands the device on, as in ``cel.bind(d, device, …)``. Written out, its fields
        # are variables of their own with their exact types; ``validation`` refuses those that do not exist.
        "device": cel.Type("dyn"),
        "device.driver": cel.Type("string"),
        "device.attributes": cel.Type(f"map<string, map<string, {attribute}>>"),
        "device.capacity": cel.Type("map<string, map<string, kubernetes.Quantity>>"),
    }
    if features.stored or features.consumable_capacity:
        variables["device.allowMultipleAllocations"] = cel.Type("bool")
    return cel.NewEnv(
        config=cel.NewEnvConfigFromYaml(_LIBRARIES),
        variables=variables,
        functions=list(_declarations([each for each in declared if each.name not in _MERGED])),
        extensions=[
            cel.CelExtension(
                "kubernetes",
                [*_declarations([each for each in declared if each.name in _MERGED]), *_numeric_comparisons()],
            )
        ],
    )


def _declarations(overloads: list[Overload]) -> Iterator[cel.FunctionDecl]:
    for name in dict.fromkeys(each.name for each in overloads):
        yield cel.FunctionDecl(name, [_declaration(each) for each in overloads if each.name == name])


def _numeric_comparisons() -> Iterator[cel.FunctionDecl]:
    """Order of numbers of different types, which the wrapper leaves out and Kubernetes has."""
    for operator in ("_<_", "_<=_", "_>_", "_>=_"):
        pairs = [(left, right) for left in _NUMBERS for right in _NUMBERS if left != right]
        yield cel.FunctionDecl(
            operator,
            [
                cel.Overload(
                    f"{left} {operator} {right}",
                    return_type=cel.Type.BOOL,
                    parameters=[cel.Type(left), cel.Type(right)],
                    is_member=False,
                )
                for left, right in pairs
            ],
        )


def _declaration(each: Overload) -> cel.Overload:
    return cel.Overload(
        each.signature,
        return_type=_type(each.result),
        parameters=[_type(parameter) for parameter in each.parameters],
        is_member=each.method,
    )


def _type(name: str) -> cel.Type:
    """A type as the wrapper wants it; names with a dot are Kubernetes' own."""
    match = _GENERIC.fullmatch(name)
    if match is None:
        return cel.Type.AbstractType(name, []) if "." in name else cel.Type(f"~{name}" if name.isupper() else name)
    if match["name"] == "list":
        return cel.Type.List(_type(match["parameter"]))
    if match["name"] == "map":
        return cel.Type.Map(cel.Type.STRING, _type(match["parameter"]))
    return cel.Type.AbstractType(match["name"], [_type(match["parameter"])])
