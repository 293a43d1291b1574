"""The files of a school: checked first, with the difference by name, then imported; and what was imported before."""
