"""What `idp account export` does with each table and column stands there (`idp.personal`)."""

import pytest

from idp.operations.personal_data.export import PARTS
from idp.personal import HELD, LEFT_OUT, SHOWN
from idp.tables import metadata

pytestmark = pytest.mark.row("K-10")


def test_every_table_and_column_is_exported_or_left_out_with_a_reason() -> None:
    exported = {part.table.__tablename__ for part in PARTS}
    for name, table in metadata.tables.items():
        assert (name in exported) != bool(table.info.get(LEFT_OUT)), name
        if name in exported:
            for column in table.columns:
                [text] = (column.info[use] for use in (SHOWN, HELD, LEFT_OUT) if use in column.info)
                assert text, f"{name}.{column.key}"


def test_exported_columns_contain_no_secret() -> None:
    for part in PARTS:
        for name in part.shown:
            column = part.table.__table__.columns[name]
            assert "LargeBinary" not in repr(column.type), name
            assert "hash" not in name, name
