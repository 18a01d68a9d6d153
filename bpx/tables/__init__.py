"""Tables of named columns: read, written, and turned into the numbers that a network takes.

``table`` has the classes that the others share. ``reading`` and ``writing`` choose by a file's name between
``csv_table``, ``parquet_table`` (pyarrow, extra ``tables``; ``arrow`` has what they share) and ``npz_table`` (NumPy).
``csv_text`` unpacks and decodes a text file. ``parsing`` knows how missing values and numbers are spelled. ``encoding``
learns from training rows how columns become numbers, and is plain JSON in a model file; ``column_encoders`` has the
encoding of a single column.
"""
