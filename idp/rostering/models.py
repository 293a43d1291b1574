"""Tables of the imports and of their issues."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, ForeignKey, Index, String, Text, cast
from sqlalchemy.orm import Mapped, mapped_column, validates

from idp.clock import now
from idp.db import Base, UuidKey, only
from idp.personal import KEY, held, left_out, shown


class ImportBatch(UuidKey, Base):
    """A run of an import.

    `state` is `running`, `done`, `stopped` (the files could not be imported, nothing was changed) or `failed`. A
    `running` batch without the import lock was killed: the next import of the same files completes it. `schools` are
    the UAIs that the files speak for, and `only_school` is that of files for one school.
    """

    __tablename__ = "import_batch"
    __table_args__ = (
        Index("ix_import_batch_only_school_started_at", "only_school", "started_at"),
        {"info": left_out("acts of operators on whole files")},
    )

    format: Mapped[str] = mapped_column(String(10))
    mode: Mapped[str] = mapped_column(String(10))
    forced: Mapped[bool] = mapped_column(default=False)
    state: Mapped[str] = mapped_column(String(10), default="running")
    actor: Mapped[str] = mapped_column(String(80), default="")
    files: Mapped[list[str]] = mapped_column(default=list)
    schools: Mapped[list[str]] = mapped_column(default=list)
    only_school: Mapped[str | None] = mapped_column(String(8))
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    started_at: Mapped[datetime] = mapped_column(default=now, index=True)
    finished_at: Mapped[datetime | None]

    @validates("schools")
    def _keep_only_school(self, _name: str, schools: list[str]) -> list[str]:
        self.only_school = schools[0] if len(schools) == 1 else None
        return schools

    @classmethod
    def speaks_for(cls, uai: str) -> ColumnElement[bool]:
        """Return the condition of the imports that speak for a school."""
        return cast(cls.schools, String).contains(f'"{uai}"', autoescape=True)


class ImportIssue(Base):
    """An issue of a batch, with a message for a secretary.

    `person` is the name that the files of one school give to the key, family name first, with the pupils whose tie the
    issue is about; `idp purge` removes it when pupils who left are removed. `because` is the key of the pupil from
    whose issue this one follows; empty if it follows from none. Both are empty for files of several schools, whose
    issues no school reads.
    """

    __tablename__ = "import_issue"
    __table_args__ = (Index("ix_import_issue_named", "batch_id", **only("person <> ''")),)

    id: Mapped[int] = mapped_column(BigInteger(), primary_key=True, autoincrement=True, info=KEY)
    batch_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("import_batch.id"), index=True, info=left_out("the import, which is an act of an operator")
    )
    file: Mapped[str] = mapped_column(Text(), info=shown("Fichier"))
    line: Mapped[int] = mapped_column(info=shown("Ligne"))
    key: Mapped[str] = mapped_column(String(80), info=shown("Clé"))
    person: Mapped[str] = mapped_column(String(410), default="", info=shown("Nom dans le fichier"))
    severity: Mapped[str] = mapped_column(String(10), info=shown("Gravité"))
    code: Mapped[str] = mapped_column(String(40), info=shown("Référence de la remarque"))
    message: Mapped[str] = mapped_column(
        Text(), info=held("phrase pour le secrétariat, qui peut parler d’autres personnes")
    )
    because: Mapped[str] = mapped_column(String(80), default="", info=left_out("the key of a pupil"))
