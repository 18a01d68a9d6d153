"""Tables of named columns: read, written, and turned into the numbers that a network takes.

``table`` has the classes that the others share. ``reading`` and ``writing`` choose by a file's name between
``csv_table`` and ``parquet_table`` (pyarrow, extra ``tables``) and ``npz_table`` (NumPy). ``parsing`` knows how missing
values and numbers are spelled. ``encoding`` learns from training rows how columns become numbers, and is plain JSON in
a model file; ``column_encoders`` has the encoding of a single column.
"""
