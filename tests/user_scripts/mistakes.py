"""A user's script with three mistakes, each on a line that says so; type checkers find these and nothing else."""

import numpy as np

import bpx


def main() -> None:
    X, y = np.zeros((4, 2)), np.zeros(4, dtype=np.int64)
    net = bpx.MLP([2, 8, 2], hidden="tanh")
    bpx.fit(net, X, y, loss="cross_entropi")  # MISTAKE: a misspelt loss
    history = bpx.fit(net, X, y, epochs="20")  # MISTAKE: a text for a number
    print(history.losses)  # MISTAKE: there is no such attribute
    print(bpx.predict(net, X).shape, bpx.MLPClassifier().fit(X, y).predict(X))
