"""Data larger than memory, read block by block while the network trains.

data              data, batches and what gives them, of streams and of arrays alike
row_sources       what rows are read from: arrays on disk, Parquet files, iterables of batches
shuffled_windows  which rows an epoch visits when: blocks in a new order, then rows within the buffer
double_buffer     two windows, and the thread that fills one while the other is used
random_access     training batches from rows in any order
iterables         training batches from an iterable
sequential        all rows in their order, for losses, metrics and predictions
stream            `bpx.stream`
"""
