"""Base of the models of our CRDs and settings: camelCase on the wire, every fault named by object and field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Self

import msgspec
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict
from pydantic_core import ErrorDetails

from kai_py.api.decode import convert, identity, without_nulls
from kai_py.api.meta import ObjectMeta
from kai_py.api.meta import Quantity as SentQuantity
from kai_py.api.quantity import parse_quantity
from kai_py.api.selectors import LabelSelector
from kai_py.errors import Fault, MalformedObjectError

#: Field of the JSON schema in which Kubernetes keeps CEL rules.
RULES: Final = "x-kubernetes-validations"

_QUANTITY_PATTERN: Final = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$"
_LABEL_NAME: Final = r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)"
#: A label key, with or without a domain in front.
LABEL_KEY_PATTERN: Final = rf"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?{_LABEL_NAME}$"
#: Longest label key: a domain of 253, a slash, a name of 63.
MAX_LABEL_KEY: Final = 317


def rule(expression: str, message: str, **more: str) -> JsonDict:
    """One CEL rule for a schema's ``x-kubernetes-validations``."""
    return {"rule": expression, "message": message, **more}


class Model(BaseModel):
    """Base: unknown fields are ignored (the API server has pruned them), types are taken at their word."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        strict=True,
        extra="ignore",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )

    def to_dict(self) -> dict[str, Any]:
        """The model as the API server wants it: camelCase, without what is at its default."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


class CustomResource(Model):
    """An object of one of our kinds. :meth:`parse` is the door; subclasses say what the types cannot."""

    group: ClassVar[str]
    version: ClassVar[str]
    kind: ClassVar[str]

    metadata: Annotated[
        InstanceOf[ObjectMeta], PlainSerializer(msgspec.to_builtins), WithJsonSchema({"type": "object"})
    ]

    @property
    def name(self) -> str:
        """``metadata.name``."""
        return self.metadata.name

    @classmethod
    def parse(cls, obj: object) -> Self:
        """Read an object.

        Raises:
            MalformedObjectError: with all faults, each under the path of its field.
        """
        where = identity(cls.kind, obj)
        if not isinstance(obj, Mapping):
            raise MalformedObjectError([Fault(where, "", f"should be an object, not {repr(obj)[:80]}")])
        fields: dict[str, Any] = without_nulls(obj)
        faults: list[Fault] = []
        metadata = ObjectMeta(name="")
        try:
            metadata = convert(ObjectMeta, fields.get("metadata", {}))
        except MalformedObjectError as error:
            faults += [Fault(where, path("metadata", fault.field), fault.message) for fault in error.faults]
        try:
            resource = cls.model_validate({**fields, "metadata": metadata}, by_alias=True, by_name=False)
        except ValidationError as error:
            raise MalformedObjectError([*faults, *faults_of(error, where=where)]) from error
        faults += [Fault(where, field, message) for field, message in resource.contradictions()]
        if faults:
            raise MalformedObjectError(faults)
        return resource

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """What is wrong although every single field is fine: ``(field, message)``, e.g. a cycle of subgroups."""
        yield from ()

    def to_manifest(self) -> dict[str, Any]:
        """The whole object, with ``apiVersion`` and ``kind``."""
        return {"apiVersion": f"{self.group}/{self.version}", "kind": self.kind, **self.to_dict()}


def path(*parts: str | int) -> str:
    """A field's path as Kubernetes writes it: ``spec.levels[0].nodeLabel``."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if part else ""
    return text.removeprefix(".")


def faults_of(
    error: ValidationError, *, where: str, explain: Callable[[ErrorDetails], str | None] = lambda _: None
) -> list[Fault]:
    """Pydantic's errors as ours.

    Args:
        error: what pydantic found.
        where: the object or document.
        explain: may word an error better than pydantic does; ``None`` leaves it.
    """
    errors = error.errors(include_url=False, include_context=False)
    places = [one["loc"] for one in errors]
    return [
        Fault(where=where, field=_field(one["loc"]), message=explain(one) or _message(one))
        for one in errors
        # Pydantic counts only the good items of a list: a list of one bad item would be reported as empty, too.
        if one["type"] != "too_short" or not any(_inside(place, one["loc"]) for place in places)
    ]


def _inside(inner: tuple[str | int, ...], outer: tuple[str | int, ...]) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _field(place: tuple[str | int, ...]) -> str:
    return path(*(part for part in place if part != "[key]"))  # pydantic's mark for the key of a map itself


def _message(error: ErrorDetails) -> str:
    message, value = error["msg"], error["input"]
    if error["type"] == "missing":
        return "is required"
    if error["type"] == "tuple_type":
        message = "should be a valid list"
    elif error["type"] in {"model_type", "model_attributes_type", "dict_type", "mapping_type"}:
        message = "should be an object"
    message = message.removeprefix("Value error, ").replace("Input should", "should")
    if isinstance(value, Mapping | list | tuple) or repr(value) in message:
        return message
    return f"{message}, not {repr(value)[:80]}"


def _quantity(value: object) -> SentQuantity:
    if not isinstance(value, str | int | float):
        raise ValueError("Input should be a quantity such as 500m or 16Gi")
    parse_quantity(value)
    return value


def _selector(value: object) -> LabelSelector:
    if isinstance(value, LabelSelector):
        return value
    if not isinstance(value, Mapping):
        raise ValueError("Input should be an object")
    try:
        selector = convert(LabelSelector, value)
    except MalformedObjectError as error:
        raise ValueError("; ".join(f"{fault.field}: {fault.message}" for fault in error.faults)) from error
    for one in selector.match_expressions:
        if one.operator not in {"In", "NotIn", "Exists", "DoesNotExist"}:
            raise ValueError(f"operator of {one.key} should be In, NotIn, Exists or DoesNotExist, not {one.operator!r}")
        if (one.operator in {"In", "NotIn"}) != bool(one.values):
            raise ValueError(f"values of {one.key} are needed with In and NotIn, and only there")
    return selector


#: A Kubernetes quantity, kept as it was sent, checked to be one.
QuantityField = Annotated[
    SentQuantity,
    PlainValidator(_quantity),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": _QUANTITY_PATTERN}),
]

_LABEL_VALUE_SCHEMA: Final = {"type": "string", "maxLength": 63}
_LABEL_KEY_SCHEMA: Final = {"type": "string", "maxLength": MAX_LABEL_KEY}

#: A label selector.
SelectorField = Annotated[
    LabelSelector,
    PlainValidator(_selector),
    PlainSerializer(msgspec.to_builtins),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                "matchLabels": {
                    "type": "object",
                    "description": "Labels with exactly this value.",
                    "additionalProperties": _LABEL_VALUE_SCHEMA,
                },
                "matchExpressions": {
                    "type": "array",
                    "description": "Further conditions, which must all hold.",
                    "maxItems": 64,
                    "items": {
                        "type": "object",
                        "required": ["key", "operator"],
                        "properties": {
                            "key": {**_LABEL_KEY_SCHEMA, "description": "The label."},
                            "operator": {
                                "type": "string",
                                "description": "How its value is compared.",
                                "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                            },
                            "values": {
                                "type": "array",
                                "description": "What it is compared with.",
                                "maxItems": 256,
                                "items": _LABEL_VALUE_SCHEMA,
                            },
                        },
                        RULES: [
                            rule(
                                "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
                                "values are needed with In and NotIn, and only there",
                            )
                        ],
                    },
                },
            },
        }
    ),
]


class Condition(Model):
    """A condition of a status."""

    type: str = Field(max_length=316)
    """What the condition is about."""
    status: str = ""
    """``True``, ``False`` or ``Unknown``."""
    reason: str = ""
    """Why, in one word for programs."""
    message: str = ""
    """Why, in a sentence for people."""
    observed_generation: Annotated[int | None, Field(ge=0)] = None
    """The generation of the spec that the condition is about."""
    last_transition_time: Annotated[str | None, WithJsonSchema({"type": "string", "format": "date-time"})] = None
    """Since when ``status`` has this value."""
    last_probe_time: Annotated[str | None, WithJsonSchema({"type": "string", "format": "date-time"})] = None
    """When the condition was last looked at. KAI writes it; we do not, to write on change only."""
