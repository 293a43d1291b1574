"""Tables of rows run completely and report all failures."""

import pytest

from tests.rows import each_row


def test_every_row_that_fails_is_reported_with_its_values() -> None:
    seen = []

    @each_row(("number", "even"), [(1, False), (2, False), (3, False), (4, False)])
    def is_even(number: int, even: bool, base: int) -> None:  # noqa: FBT001 - a column
        seen.append(number)
        assert (number % base == 0) is even

    with pytest.raises(ExceptionGroup, match="2 of 4 rows fail") as matches:
        is_even(base=2)
    assert seen == [1, 2, 3, 4]
    notes = [note for failure in matches.value.exceptions for note in failure.__notes__]
    assert notes == ["row {'number': 2, 'even': False}", "row {'number': 4, 'even': False}"]


def test_table_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="without rows"):
        each_row("number", [])
