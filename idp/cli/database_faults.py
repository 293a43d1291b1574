"""Messages for errors of the database that end a command."""

from sqlalchemy.exc import ProgrammingError, SQLAlchemyError


def message(error: Exception) -> str:
    """Return the message for an error of the database, or an empty string for any other error."""
    if not isinstance(error, SQLAlchemyError):
        return ""
    return f"the database cannot be used ({type(error).__name__}){_advice(error)}"


def _advice(error: SQLAlchemyError) -> str:
    """Return the probable remedy. The driver's message is not shown, since it may have personal data."""
    text = str(getattr(error, "orig", "")).lower()
    if isinstance(error, ProgrammingError) or "no such table" in text or "no such column" in text:
        return ": run `idp db upgrade` to create its tables."
    if "locked" in text or "lock timeout" in text:
        return ": it is locked, try again."
    if "disk" in text or "too large" in text or "no space" in text:
        return ": its disk may be full."
    return ": check IDP_DATABASE_URL, and that the database runs."
