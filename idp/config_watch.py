"""The settings by which the service is watched."""

from pydantic import Field, field_validator

from idp import config_rules as rules
from idp import tracing
from idp.config_desk import DeskSettings


class WatchSettings(DeskSettings):
    """What an operator sets for metrics and traces; a part of `idp.config.Settings`."""

    metrics_bind: str = Field(
        "",
        description="IP and port on which Prometheus reads the metrics, such as `127.0.0.1:9464`: `idp serve` at this"
        " port, `idp worker` at the next one, `idp desk serve` at the one after. Everybody who reaches the port reads"
        " them, so no proxy may lead there. Empty: no metrics",
    )

    traces: bool = Field(
        False,
        description="export spans by OTLP, as the variables `OTEL_…` of OpenTelemetry say; needs the extra"
        " `traces`, which `constraints.txt`, the image and the Debian package include",
    )

    @field_validator("traces")
    @classmethod
    def _check_traces(cls, value: bool) -> bool:  # noqa: FBT001 - pydantic's signature
        if value and not tracing.is_installed():
            raise ValueError("needs the packages of the extra `traces`, which constraints.txt lists")
        return value

    @field_validator("metrics_bind")
    @classmethod
    def _check_metrics_bind(cls, value: str) -> str:
        return rules.check_metrics_bind(value) if value else value
