from datetime import timedelta

import pytest

from idp.throttle import limits


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """Set the budget of requests of a network to a few an hour; return how many."""
    window = limits.Window(6, timedelta(hours=1))
    monkeypatch.setattr(limits, "FORGOTTEN_IP", limits.Budget("forgotten_ip", (window,), by_network=True))
    return window.tries
