"""Data larger than memory, read block by block while the network trains.

batches        data, batches and what gives them, of streams and of arrays alike
sources        what rows are read from: arrays on disk, Parquet files, iterables of batches
shuffling      which rows an epoch visits when: blocks in a new order, then rows within the buffer
windows        the double buffer, and the thread that fills one window while the other is used
random_access, iterables   training batches from rows in any order, and from an iterable
sequential     all rows in their order, for losses, metrics and predictions
stream         `bpx.stream`
"""
