"""Tables of the jobs and their files."""

import enum
import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Enum, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.db import Base, UuidKey, only
from idp.personal import left_out


class State(enum.Enum):
    """The state of a job."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing will be done any more."""
        return self in {State.DONE, State.FAILED, State.CANCELLED}


class Job(UuidKey, Base):
    """Work that a person of the desk asked for, in the post `role_id`.

    `parameters` says what to do, `origin` who asked (for the journal), and `result` what was done; none of them has a
    secret. `done` of `total` is the progress; `total` is 0 while it is unknown. `refusal` is why a job failed: a code
    of its kind, for which the page has a sentence. `is_final` marks a job that has begun to write: it goes to its end,
    and is not cancelled. Of the jobs of one `lane`, one at most is not over.
    """

    __tablename__ = "desk_job"
    __table_args__ = (
        Index("ix_desk_job_school_id_created_at", "school_id", "created_at"),
        Index("ix_desk_job_lane", "lane", unique=True, **only("finished_at IS NULL")),
        {"info": left_out("work that people of the desk asked for; it has keys of accounts, and no names")},
    )

    kind: Mapped[str] = mapped_column(String(40))
    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff_account.id"), index=True)
    role_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff_role.id"))
    school_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("school.id"))
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    origin: Mapped[dict[str, Any]] = mapped_column(default=dict)
    state: Mapped[State] = mapped_column(
        Enum(State, native_enum=False, length=20, values_callable=lambda kind: [state.value for state in kind]),
        default=State.WAITING,
    )
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
    refusal: Mapped[str] = mapped_column(String(200), default="")
    is_final: Mapped[bool] = mapped_column(default=False)
    lane: Mapped[str | None] = mapped_column(String(80))
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancel_asked_at: Mapped[datetime | None]


class JobFile(UuidKey, Base):
    """A file of a job: one that was uploaded for it (`is_upload`), or one that it made.

    One that it made is handed out, or read by the pages of its slice alone (`is_for_pages`). `content` is encrypted,
    and empty once the file was taken or has expired.
    """

    __tablename__ = "desk_job_file"
    __table_args__ = ({"info": left_out("files for people of the desk, encrypted and gone within a day")},)

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("desk_job.id"), index=True)
    is_upload: Mapped[bool] = mapped_column(default=False)
    is_for_pages: Mapped[bool] = mapped_column(default=False)
    name: Mapped[str] = mapped_column(String(120))
    media_type: Mapped[str] = mapped_column(String(80))
    content: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    taken_at: Mapped[datetime | None]

    @property
    def is_waiting(self) -> bool:
        """Whether the file was not taken and has not expired."""
        return self.taken_at is None and self.expires_at > now()
