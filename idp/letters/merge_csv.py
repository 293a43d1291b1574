"""The list for a mail merge: the same letters as rows, for schools that print their own."""

from collections.abc import Iterable

from idp.letters import provisional
from idp.letters.secrets import Drawn
from idp.spreadsheet import rows_to_csv

COLUMNS = (
    "uai",
    "school",
    "class",
    "civility",
    "family_name",
    "given_name",
    "address1",
    "address2",
    "address3",
    "postcode",
    "city",
    "country",
    "children",
    "username",
    "provisional_password",
    "ent_url",
    "valid_until",
)
HEAD = b"".join(rows_to_csv(COLUMNS, ()))
"""How every such file begins."""
_ADDRESS_CELLS = 3


def render(drawn: Iterable[Drawn]) -> bytes:
    """Return the whole file: UTF-8 with its mark, `;`, no cell that a spreadsheet takes for a formula (R-04)."""
    return b"".join(rows_to_csv(COLUMNS, (_row(one) for one in drawn)))


def _row(one: Drawn) -> tuple[str, ...]:
    account, letter = one.account, one.letter
    children = [
        f"{child.given_name} ({child.class_name})" if child.class_name else child.given_name
        for child in letter.children
    ]
    return (
        one.school.uai,
        one.school.name,
        one.class_name,
        account.civility,
        account.family_name,
        account.given_name,
        *_address(account.address_lines),
        account.postcode,
        account.city,
        account.country,
        ", ".join(children),
        account.username,
        provisional.show(letter.provisional_password),
        letter.ent_address,
        letter.valid_until.strftime("%d/%m/%Y"),  # as it is read in the merged letter
    )


def _address(lines: list[str]) -> list[str]:
    """Return the lines in three cells: the last one takes what is left."""
    cells = [line for line in lines if line.strip()]
    cells[_ADDRESS_CELLS - 1 :] = [", ".join(cells[_ADDRESS_CELLS - 1 :])]
    return (cells + [""] * _ADDRESS_CELLS)[:_ADDRESS_CELLS]
