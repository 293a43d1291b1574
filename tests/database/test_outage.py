"""A database that stands still: one thread tries to connect, and the others fail at once."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from idp import pool


def test_one_thread_tries_to_connect_while_the_server_stands_still() -> None:
    outage, is_trying, may_end = pool.Outage(), threading.Event(), threading.Event()
    connection = object.__new__(pool.PatientConnection)

    def slow() -> pool.PatientConnection:
        is_trying.set()
        assert may_end.wait(5)
        return connection

    outage.note()
    with ThreadPoolExecutor(1) as thread:
        tried = thread.submit(outage.connect, slow)
        assert is_trying.wait(5)
        with pytest.raises(psycopg.OperationalError, match="did not answer"):
            outage.connect(lambda: connection)
        may_end.set()
        assert tried.result(5) is connection
    assert outage.connect(lambda: outage.connect(lambda: connection)) is connection, "the outage has ended"


def test_server_that_accepts_no_connection_in_time_stands_still() -> None:
    outage = pool.Outage()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]

        def connect() -> pool.PatientConnection:
            return pool.PatientConnection.connect(f"host=127.0.0.1 port={port} user=x connect_timeout=2")

        with ThreadPoolExecutor(2) as threads:
            outage.note()
            began = time.monotonic()
            failures = [call.exception() for call in [threads.submit(outage.connect, connect) for _ in range(2)]]
    assert 1 < time.monotonic() - began < 4
    assert sorted(type(failure).__name__ for failure in failures) == ["ConnectionTimeout", "OperationalError"]
