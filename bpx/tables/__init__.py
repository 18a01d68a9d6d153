"""Tables of named columns: read, written, and turned into the numbers that a network takes.

``table`` has the classes that the others share. ``reading`` and ``writing`` choose by a file's name between
``csv_table`` and ``parquet_table`` (pyarrow, extra ``tables``) and ``npz_table`` (NumPy). ``parsing`` says what a
missing value and a number look like. ``encoding`` learns from training rows how columns become numbers, as plain JSON;
``column_encoders`` has the encoding of one column.
"""
