"""Read SIECLE's XML exports."""
