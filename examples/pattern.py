"""Article 003: a fixed pattern, momentum and three stopping rules. Run: python examples/pattern.py"""

# %% The pattern: 6 samples of 5 bits; 10 hidden units, weights and biases from [-0.2, 0.2)
import numpy as np

import bpx

X = np.array([[1, 0, 1, 0, 1]] * 3 + [[1, 0, 1, 1, 1], [1, 0, 1, 0, 1], [1, 0, 1, 1, 1]])
y = np.array([1, 1, 1, 0, 1, 0])
asked = np.array([[1, 0, 1, 0, 1], [1, 0, 1, 1, 1], [1, 1, 1, 0, 1]])
network = {"output": "sigmoid", "init": bpx.initializers.uniform(0.2), "dtype": "float64"}
# Every sample in order, an update after each, classical momentum, 1 000 epochs; the best epoch's parameters are kept
online = {
    "loss": "squared_error", "optimizer": bpx.SGD(0.1, momentum=0.1), "batch_size": 1, "sampling": "sequential",
}  # fmt: skip
keep_best = bpx.stop.Patience("loss", patience=1000)

# %% One output and three kinds of hidden units; error per epoch: root mean square = sqrt(2 loss / outputs)
for hidden in ("tanh", "sigmoid", "relu"):
    net = bpx.MLP([5, 10, 1], hidden=hidden, **network)
    history = bpx.fit(net, X, y, **online, epochs=1000, stop=keep_best)
    answers = net.backend.to_host(net(asked))[:, 0]
    first, last = (2 * np.array(history.loss)[[0, -1]]) ** 0.5
    print(f"{hidden:8} error {first:.3f} -> {last:.3f}, answers {answers.round(3)}")

# %% Two outputs with named classes, by arg-max
net = bpx.MLP([5, 10, 2], hidden="tanh", **network)
bpx.fit(net, X, np.eye(2)[1 - y], **online, epochs=1000, stop=keep_best)
print("two outputs:", [("cat", "dog")[i] for i in net.backend.to_host(net(asked)).argmax(axis=1)])

# %% The three stopping rules: small weight changes, a low error rate, the epoch limit
for rule in (bpx.stop.MaxWeightChange(0.01), bpx.stop.ErrorRate(0.1), ()):
    net = bpx.MLP([5, 10, 1], hidden="tanh", **network)
    print(bpx.fit(net, X, y, **online, epochs=1000, stop=rule))

# %% Wrong lengths, and random data to play with
try:
    net([1, 0, 1])
except bpx.ShapeError as error:
    print(error)
rng = np.random.default_rng(0)
toy, labels = rng.uniform(0, 2, (20, 5)), rng.integers(0, 2, 20)
print(f"20 random samples: loss {bpx.fit(net, toy, labels, **online, epochs=50).loss[-1]:.3f}")

# %% Errata: the article's "sigmoid" is tanh with the logistic's derivative x - x^2 (at x = -0.5 that is -0.75, where
# tanh's is 1 - x^2 = +0.75), so steps go the wrong way for negative outputs; its momentum adds 0.1 times the last
# gradient, classical momentum 0.1 times the last step, 1/10 of that; its forward pass never adds the bias unit.

# %% Expected output
# tanh     error 0.496 -> 0.019, answers [0.984 0.023 0.983]
# sigmoid  error 0.516 -> 0.064, answers [0.946 0.081 0.945]
# relu     error 0.498 -> 0.016, answers [0.986 0.02  0.975]
# two outputs: ['cat', 'dog', 'cat']
# 10 epochs, 60 steps in 0.00 s, loss 0.11356; stopped: no weight changed by more than the threshold in the last epoch
# 49 epochs, 294 steps in 0.01 s, loss 0.0761931; stopped: the error rate fell below the threshold
# 1000 epochs, 6000 steps in 0.18 s, loss 0.000176205; stopped: the epoch limit was reached
# X: expected 5 columns, as many as the network has inputs, got 3 (shape (3,))
# 20 random samples: loss 0.143
