"""One module per format: it writes the files of families in that format.

Each says which mistakes its format can have (`MISTAKES`), and writes the part of a household that the format can
represent.
"""
