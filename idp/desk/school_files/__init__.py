"""The files of a school: checked first, with the difference by name, then imported; and what was imported before."""

WAITS = "desk.file_waits"
"""The kind of outbox message that tells a person of the direction of files that wait for a decision."""
DECLINED_MAIL = "desk.file_declined"
"""The kind of outbox message that tells the author of a check that the direction did not import the files."""
