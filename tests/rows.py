"""Tests with a table of rows: one test that reports every failed row."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Test = Callable[..., None]


def each_row(names: str | tuple[str, ...], rows: Iterable[Any]) -> Callable[[Test], Test]:
    """Run the test with each row, as `pytest.mark.parametrize` does, but within one test.

    Use it for rows that share no state: all rows share the fixtures of the test.

    Raises:
        ExceptionGroup: the failures of all rows, each with its row as a note.
    """
    many = not isinstance(names, str) or "," in names
    columns = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    table = [dict(zip(columns, row if many else (row,), strict=True)) for row in rows]
    if not table:
        raise ValueError("a table without rows would always pass")

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            failures = [failure for row in table if (failure := _failure(test, row, fixtures))]
            if failures:
                raise ExceptionGroup(f"{len(failures)} of {len(table)} rows fail", failures)

        signature = inspect.signature(test)
        fixtures = [parameter for name, parameter in signature.parameters.items() if name not in columns]
        run.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined]
        return run

    return decorate


def _failure(test: Test, row: Mapping[str, Any], fixtures: Mapping[str, Any]) -> Exception | None:
    try:
        test(**row, **fixtures)
    except Exception as failure:  # noqa: BLE001 - reported with the other rows
        failure.add_note(f"row {dict(row)!r}"[:1000])
        return failure
    return None
