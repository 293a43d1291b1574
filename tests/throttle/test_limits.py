"""Consistency of the table of rate limits."""

from idp.throttle import limits
from tests.rows import each_row


@each_row("limit", limits.TABLE)
def test_the_table_of_limits_keeps_its_own_rules(limit: limits.Limit) -> None:
    assert len(limit.name) <= 30
    assert sum(other.name == limit.name for other in limits.TABLE) == 1
    if isinstance(limit, limits.Backoff):
        assert limit.quiet > max(limit.steps)
        assert list(limit.steps) == sorted(limit.steps)
    else:
        spans = [window.span for window in limit.windows]
        assert spans == sorted(spans)
        assert all(window.tries > 0 for window in limit.windows)
