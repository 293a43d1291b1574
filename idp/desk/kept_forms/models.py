"""The table of kept forms."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from idp.clock import now
from idp.db import Base, UuidKey
from idp.personal import left_out


class KeptForm(UuidKey, Base):
    """A form that was sent but not accepted, because a proof, a sign-in or a reason came first.

    `role_id` is the post whose page was filled in, or None for a page that does not depend on the post. `browser` is
    the digest of the browser's own value, `page` that of the path and query of the page. `content` is encrypted.
    """

    __tablename__ = "desk_kept_form"
    __table_args__ = (
        UniqueConstraint("staff_id", "browser", "page"),
        {"info": left_out("what people of the desk typed, encrypted; readable for 15 minutes, gone within a day")},
    )

    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff_account.id"))
    role_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("staff_role.id"))
    browser: Mapped[bytes]
    page: Mapped[bytes]
    content: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
