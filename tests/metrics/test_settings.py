import pytest
from pydantic import ValidationError

from idp.config import Settings
from idp.metrics.listener import place_of
from tests.rows import each_row

NOWHERE = "http://127.0.0.1:8000"


@each_row(
    ("bind", "worker"),
    [("127.0.0.1:9464", ("127.0.0.1", 9465)), ("[::1]:9464", ("::1", 9465)), ("192.0.2.1:65533", ("192.0.2.1", 65534))],
)
def test_each_command_has_a_port_of_its_own(bind: str, worker: tuple[str, int]) -> None:
    assert place_of(Settings(issuer=NOWHERE, env="development", metrics_bind=bind).metrics_bind, "worker") == worker


@each_row("bind", ["127.0.0.1", "9464", ":9464", "127.0.0.1:65534", "127.0.0.1:0", "127.0.0.1:x", "metrics.fr:9464"])
def test_a_bind_that_cannot_be_used_is_refused(bind: str) -> None:
    with pytest.raises(ValidationError, match="metrics_bind"):
        Settings(issuer=NOWHERE, env="development", metrics_bind=bind)


def test_there_are_no_metrics_and_no_traces_by_default() -> None:
    fields = Settings.model_fields
    assert (fields["metrics_bind"].default, fields["traces"].default) == ("", False)
