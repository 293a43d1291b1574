"""The CSV file for a mail merge, for schools that print their own letters."""

from collections.abc import Iterable

from idp.letters import provisional
from idp.letters.secrets import DrawnLetter
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
_ADDRESS_CELLS = 3


def render(drawn: Iterable[DrawnLetter]) -> bytes:
    """Return the whole file; no cell is a formula for a spreadsheet (R-04)."""
    return b"".join(rows_to_csv(COLUMNS, (_row(entry) for entry in drawn)))


def _row(entry: DrawnLetter) -> tuple[str, ...]:
    account, letter = entry.account, entry.letter
    children = [
        f"{child.given_name} ({child.class_name})" if child.class_name else child.given_name
        for child in letter.children
    ]
    return (
        entry.school.uai,
        entry.school.name,
        entry.recipient.class_name,
        account.civility,
        account.family_name,
        account.given_name,
        *_address_cells(account.address_lines),
        account.postcode,
        account.city,
        account.country,
        ", ".join(children),
        account.username,
        provisional.show(letter.provisional_password),
        letter.ent_url,
        letter.valid_until.strftime("%d/%m/%Y"),
    )


def _address_cells(lines: list[str]) -> list[str]:
    cells = [line for line in lines if line.strip()]
    cells[_ADDRESS_CELLS - 1 :] = [", ".join(cells[_ADDRESS_CELLS - 1 :])]
    return (cells + [""] * _ADDRESS_CELLS)[:_ADDRESS_CELLS]
