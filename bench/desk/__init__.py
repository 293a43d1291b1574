"""The desk of a whole académie: its rows, and how long its pages take."""
