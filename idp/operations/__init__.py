"""Operations: health, the help desk, personal data, the purge and the journal's commands."""
