"""Synthetic académies: families that nobody has, written as the files that schools hand over.

`families` draws the model, `expected` says which accounts must come out of it, `delta` what has changed a few weeks
later, `mistakes` what real files have wrong, and `writers` the files. All is drawn from a seed and streamed, town by
town: the memory does not grow with the académie. Formats: SDET's annex on the AAF, SIECLE's XML exports, ONDE's CSV.
"""
