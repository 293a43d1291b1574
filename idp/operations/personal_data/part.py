"""What the data about a person in one table is described by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flask_babel import lazy_gettext as _l
from sqlalchemy import ColumnElement

from idp.db import Base
from idp.operations.personal_data import redactions
from idp.operations.personal_data.redactions import Person, Row

KEY = "key of the row"
OWN = "key of the person's own account"
DIGEST = _l("empreinte d’une valeur secrète")


@dataclass(frozen=True)
class Part:
    """The data about a person in one table.

    Attributes:
        table: the table.
        title: its title on the page.
        of: the condition of the person's rows.
        shown: columns that are shown, with their labels.
        held: columns that are named but not shown, with their labels: secrets, and texts about other people.
        left_out: columns without data about the person, each with the reason.
        redact: removes data about other people from a row.
        consulted: columns of `left_out` that `redact` reads.
    """

    table: type[Base]
    title: str
    of: Callable[[Person], ColumnElement[bool]]
    shown: Mapping[str, str]
    held: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    redact: Callable[[Person, Row], Row] = redactions.whole
    consulted: tuple[str, ...] = ()
