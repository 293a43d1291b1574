"""How a field of `ClientMetadata` is declared."""

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
    """The option of `idp client add` and `idp client set` for a field.

    Attributes:
        flag: its name; that of a switch is two names (`--x/--no-x`), of which the first one says true.
        help: its line in `--help`.
        metavar: what `--help` calls its value, if not by the kind.
        default_text: how `--help` names a default that depends on other options; it is then empty.
        separator: what separates words.
        strict: whether another value than those declared is an error of usage, beside all other faults otherwise.
    """

    flag: str
    help: str
    metavar: str | None = None
    default_text: str = ""
    separator: str = " "
    strict: bool = False


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What is declared of a field.

    Attributes:
        name: the field.
        kind: what it holds.
        default: its value if nothing is said.
        member: its name in the JSON of RFC 7591; empty if the field is the operator's, whom no client overrules.
        translated: whether JSON may have it in several languages (Registration 1.0, 2.1).
        column: the attribute of `Client` that holds it; several fields share `description`, by their JSON names.
        values: those that are allowed.
        offered: those of them that a client may ask for itself, and that discovery announces.
        announced: the members of discovery that list them.
        option: how the command line gives it.
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
