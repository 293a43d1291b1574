"""One module per format: families in, the files of that format out.

Each says which mistakes its format can have (`MISTAKES`), and takes from a household what the format can say of it.
"""
