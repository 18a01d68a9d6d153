"""What makes a network learn: the loop, its batches, when it stops, what it reports, and SciPy's solvers."""
