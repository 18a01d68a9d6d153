"""Data larger than memory, read block by block while the network trains.

sources    what rows are read from: arrays on disk, Parquet files, batches of one's own
shuffling  which rows an epoch visits when: blocks in a new order, then rows within the buffer
windows    the two halves of the buffer, and the thread that fills one while the other is used
feed       a stream as training sees it
stream     `bpx.stream`
"""
