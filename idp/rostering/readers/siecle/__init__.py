"""The reader of SIECLE's XML exports."""
