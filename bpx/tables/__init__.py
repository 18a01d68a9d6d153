"""Tables of named columns: read, written, and turned into the numbers that a network takes.

``table`` is what the others share. ``reading`` and ``writing`` choose by a file's name between ``csv_form`` (Python's
own csv module), ``npz_form`` (NumPy) and ``parquet_form`` (extra ``stream``). ``cells`` says what a missing value and a
number look like. ``encoding`` learns from training rows how columns become numbers, as plain JSON; ``codes`` is that
of one column.
"""
