"""What is declared of each field of `ClientMetadata`, and how."""

import enum
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

Texts = tuple[str, ...]


class Kind(enum.Enum):
    """What a field holds; every representation reads and writes a field by its kind."""

    TEXT = "text"
    CHOICE = "one of the declared values, or the default"
    URI = "a URI, or an empty text"
    URIS = "several URIs"
    SCHOOLS = "several UAIs"
    WORDS = "several of the declared values, one text in JSON and on the command line"
    TEXTS = "several texts"
    SWITCH = "true or false"
    SECONDS = "a number of seconds, or None"
    KEYS = "a JWK set, or None"
    PROFILE_URIS = "URIs by the key of a profile"
    TRANSLATIONS = "texts by the name of a JSON member with a language tag"


@dataclass(frozen=True, kw_only=True)
class Option:
    """The option of the commands `add` and `set` for a field.

    Attributes:
        flag: its name; a switch has two names (`--x/--no-x`), and the first one means true.
        help: its line in `--help`.
        metavar: the name of its value in `--help`, if the kind does not give one.
        default_text: the text for a default that depends on other options; the option is empty by default then.
        separator: the separator of words.
        strict: whether a value that is not declared is a usage error, and not one of the faults of the registration.
    """

    flag: str
    help: str
    metavar: str | None = None
    default_text: str = ""
    separator: str = " "
    strict: bool = False


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """The declaration of a field.

    Attributes:
        name: the field.
        kind: what the field holds.
        default: the value of a field that is not given.
        member: the name in the JSON of RFC 7591; empty if only an engineer may set the field.
        translated: whether the JSON may have the field in several languages (Registration 1.0, section 2.1).
        column: the attribute of `Client` that holds the value; several fields share `description`, by their members.
        values: the allowed values.
        offered: the values that a client may ask for itself, and that discovery announces.
        announced: the members of discovery that list the offered values.
        option: the option on the command line.
    """

    name: str
    kind: Kind
    default: Any
    member: str = ""
    translated: bool = False
    column: str
    values: Texts = ()
    offered: Texts = ()
    announced: Texts = ()
    option: Option | None = None


def declare(kind: Kind, default: Any = "", **declared: Any) -> Any:
    """Return the field of a dataclass with its declaration."""
    if isinstance(default, dict):
        return field(default_factory=dict, metadata={"kind": kind, "declared": declared})
    return field(default=default, metadata={"kind": kind, "declared": declared})


def declarations(metadata: type[Any]) -> Iterator[Declaration]:
    """Yield the declarations of the fields of a dataclass, in their order."""
    for item in fields(metadata):
        declared = item.metadata["declared"]
        yield Declaration(
            name=item.name,
            kind=item.metadata["kind"],
            default=item.default if item.default_factory is MISSING else item.default_factory(),
            **{"column": item.name, "offered": declared.get("values", ()), **declared},
        )
