"""Write a new revision from the difference between the newest revision and the models."""

import sys
import tempfile
from pathlib import Path

from alembic import command
from sqlalchemy import make_url

from bench.databases import postgresql
from idp import schema
from idp.config import Settings
from idp.paths import MIGRATIONS


def main(message: str) -> None:
    """Write `versions/NNNN_<message>.py` and update `HEAD`."""
    number = f"{len(list((MIGRATIONS / 'versions').glob('*.py'))) + 1:04}"
    with tempfile.TemporaryDirectory() as folder, postgresql(Path(folder)) as url:
        settings = Settings(issuer="http://127.0.0.1:8000", env="development", database_url=url)
        schema.upgrade(settings)
        with schema._connection(make_url(url)) as connection:  # noqa: SLF001 - a tool of this repository
            command.revision(schema._config(connection), message=message, autogenerate=True, rev_id=number)  # noqa: SLF001
    _replace_own_types(next(Path(MIGRATIONS, "versions").glob(f"{number}_*.py")))
    Path(MIGRATIONS, "HEAD").write_text(f"{number}\n", encoding="utf-8")


def _replace_own_types(path: Path) -> None:
    """Replace our column types by SQLAlchemy's, so that a revision does not depend on our code."""
    path.write_text(path.read_text(encoding="utf-8").replace("idp.db.UtcDateTime", "sa.DateTime"), encoding="utf-8")


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or sys.exit("usage: python -m migrations MESSAGE"))
