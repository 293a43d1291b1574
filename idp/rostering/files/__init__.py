"""Input files: archives, text encodings, delimited rows and XML as a stream."""
