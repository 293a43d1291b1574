"""The names of the jobs of this slice, and of its outbox message."""

CHECK = "check"
"""The kind of job that checks files."""
IMPORT = "import"
"""The kind of job that imports checked files."""
WAITS = "desk.file_waits"
"""The kind of outbox message that tells a person of the direction of files that wait for a decision."""
