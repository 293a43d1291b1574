"""Synthetic académies: invented families, written as the files that schools deliver.

`families` draws the model, `expected` says which accounts it must produce, `delta` changes it by a few weeks,
`mistakes` adds the mistakes of real files, and `writers` writes the files. All is drawn from a seed and streamed, town
by town: the memory does not grow with the académie. Formats: SDET's annex on the AAF, SIECLE's XML exports, ONDE's CSV.
"""
