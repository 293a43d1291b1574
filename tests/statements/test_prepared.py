"""A prepared statement passes values unchanged in both directions, and is prepared again when the server lost it."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given, strategies as st
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError

from idp.config import Settings
from idp.statements import Connections, Statement
from tests.rows import each_row
from tests.statements.lending import connections_of, execute, row_of

_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
_OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timedelta(minutes=minutes))
_INSTANTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001

VALUES: dict[str, tuple[type, st.SearchStrategy[Any], Callable[[Any], str]]] = {
    "bool": (bool, st.booleans(), str),
    "bytea": (bytes, st.binary(), lambda value: f"\\x{value.hex()}"),
    "int4": (int, st.integers(-(2**31), 2**31 - 1), str),
    "text": (str, _TEXT, str),
    "timestamptz": (datetime, _INSTANTS, lambda value: value.isoformat()),
    "uuid": (uuid.UUID, st.uuids(), str),
}
"""By type of PostgreSQL: the type of Python, its values, and their notation in SQL."""


@pytest.fixture
def connections(settings: Settings) -> Iterator[Connections]:
    with connections_of(settings) as connections:
        yield connections


@pytest.mark.parametrize("name", VALUES)
def test_the_server_gets_each_value_as_it_is_and_returns_it(connections: Connections, name: str) -> None:
    python_type, strategy, notation = VALUES[name]
    statement = Statement(
        f"SELECT :value, :value IS NOT DISTINCT FROM CAST(:text AS {name}), pg_typeof(:value)::text",  # noqa: S608 - our own names
        {"value": python_type | None, "text": str | None},
    )
    long_name = {"bool": "boolean", "int4": "integer", "timestamptz": "timestamp with time zone"}.get(name, name)

    @given(st.none() | strategy)
    def passes(value: Any) -> None:
        text = None if value is None else notation(value)
        row = row_of(connections, statement, value=value, text=text)
        assert row == (value, True, long_name)
        assert type(row[0]) is type(value)

    passes()


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns"])
def test_an_instant_is_exact_in_any_time_zone(connections: Connections, zone: str) -> None:
    execute(connections, f"SET TIME ZONE '{zone}'")
    statement = Statement("SELECT :instant, extract(epoch FROM :instant)::text", {"instant": datetime})

    @given(_INSTANTS, _OFFSETS)
    def is_exact(instant: datetime, offset: timedelta) -> None:
        row = row_of(connections, statement, instant=(instant + offset).replace(tzinfo=UTC) - offset)
        assert row is not None
        assert row[0] == instant
        microseconds = (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        assert int(row[1].replace(".", "")) == microseconds

    is_exact()


def test_columns_of_json_are_lists_and_dicts(connections: Connections) -> None:
    statement = Statement(
        """SELECT '["pwd"]'::json, '{"a": {"b": [1, null]}}'::jsonb, :nothing::json""", {"nothing": str}
    )
    assert row_of(connections, statement, nothing=None) == (["pwd"], {"a": {"b": [1, None]}}, None)


def test_a_statement_without_a_row_returns_none(connections: Connections) -> None:
    statement = Statement("SELECT :value WHERE :value = 'a'", {"value": str})
    assert row_of(connections, statement, value="b") is None
    assert row_of(connections, statement, value="a") == ("a",)


@each_row("value", ["\0", "a\0b", "\ud800", "a\udfffb"])
def test_text_that_postgresql_cannot_store_is_refused(connections: Connections, value: str) -> None:
    statement = Statement("SELECT :value, pg_backend_pid()", {"value": str})
    _, before = row_of(connections, statement, value="é 😀") or (None, None)
    with pytest.raises((DataError, UnicodeEncodeError)):
        row_of(connections, statement, value=value)
    assert row_of(connections, statement, value="é 😀") == ("é 😀", before)


def test_a_value_that_fills_the_buffers_of_the_network_passes(connections: Connections) -> None:
    value = "é" * 8_000_000
    assert row_of(connections, Statement("SELECT :value", {"value": str}), value=value) == (value,)


def test_an_instant_without_zone_is_refused(connections: Connections) -> None:
    with pytest.raises(TypeError):
        row_of(connections, Statement("SELECT :value", {"value": datetime}), value=datetime(2026, 9, 1, 8, 30))  # noqa: DTZ001


def test_a_statement_is_prepared_once_for_a_connection(connections: Connections) -> None:
    statement = Statement("SELECT :value + 1", {"value": int})
    for number in range(10):
        assert row_of(connections, statement, value=number) == (number + 1,)
    assert execute(connections, "SELECT count(*) FROM pg_prepared_statements") == 1
    assert execute(connections, "SELECT generic_plans FROM pg_prepared_statements") == 10


@pytest.mark.parametrize("command", ["DISCARD ALL", "DEALLOCATE ALL"])
def test_a_statement_that_the_server_lost_is_prepared_again(connections: Connections, command: str) -> None:
    statement = Statement("SELECT :value", {"value": str})
    for value in ("a", "b"):
        assert row_of(connections, statement, value=value) == (value,)
        execute(connections, command)
    assert row_of(connections, statement, value="c") == ("c",)


def test_a_statement_whose_result_changed_its_type_is_prepared_again(connections: Connections) -> None:
    """A migration under a server that runs. Nothing is written twice."""
    execute(connections, "CREATE TABLE noted (value varchar(9))")
    statement = Statement("INSERT INTO noted VALUES (:value) RETURNING value", {"value": str})
    assert row_of(connections, statement, value="1") == ("1",)
    execute(connections, "ALTER TABLE noted ALTER value TYPE text")
    assert row_of(connections, statement, value="2") == ("2",)
    assert execute(connections, "SELECT string_agg(value, ' ' ORDER BY value) FROM noted") == "1 2"
    execute(connections, "DROP TABLE noted")


def test_a_refused_statement_raises_the_error_of_its_class(connections: Connections) -> None:
    """The transaction of the statement is over, and the connection serves the next call."""
    execute(connections, "CREATE TABLE noted (value text PRIMARY KEY)")
    statement = Statement("INSERT INTO noted VALUES (:value) RETURNING pg_backend_pid()", {"value": str})
    first = row_of(connections, statement, value="1")
    with pytest.raises(IntegrityError) as refused:
        row_of(connections, statement, value="1")
    assert isinstance(refused.value.orig, psycopg.errors.UniqueViolation)
    assert row_of(connections, statement, value="2") == first
    with pytest.raises(ProgrammingError):
        row_of(connections, Statement("SELECT :value FROM nowhere", {"value": str}), value="1")
    execute(connections, "DROP TABLE noted")
