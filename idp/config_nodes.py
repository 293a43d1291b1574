"""The settings of a node's processes: how they reach the database, and how they stop."""

from pydantic import Field
from pydantic_settings import BaseSettings


class NodeSettings(BaseSettings):
    """What an operator sets for the processes of a node; a part of `idp.config.Settings`."""

    database_pooler: bool = Field(
        False,
        description="PgBouncer in transaction mode is before PostgreSQL; the role has the time limits (`ALTER ROLE`)",
    )
    drain_seconds: int = Field(
        6,
        ge=0,
        le=120,
        description="seconds that `idp serve` still accepts connections after SIGTERM, while `/readyz` fails: longer"
        " than a proxy keeps an idle connection, and 24 seconds shorter than the supervisor's patience",
    )
