"""« Signalements »: what a school has to know, to check and to settle."""
