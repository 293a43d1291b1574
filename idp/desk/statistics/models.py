"""The table of the stored figures."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from idp.db import Base
from idp.personal import left_out

FIGURES = "desk.figures"  # the periodic job that counts the figures, and its period
FIGURES_PERIOD = timedelta(hours=1)


class StoredFigures(Base):
    """The figures of one scope as its people see them: rounded, without numbers under ten.

    `scope` is `academy`, or the key of a client. `counted_at` is when the count began. `tables` holds, by the name of
    each table, its rows (`idp.desk.statistics.tables`).
    """

    __tablename__ = "desk_figures"
    __table_args__ = ({"info": left_out("numbers of accounts by school, rounded; no number under ten")},)

    scope: Mapped[str] = mapped_column(String(40), primary_key=True)
    counted_at: Mapped[datetime]
    tables: Mapped[dict[str, Any]]
