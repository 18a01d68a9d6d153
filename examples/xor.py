"""Article 000: XOR, learned online by a three-layer network. Run: python examples/xor.py"""

# %% The article's network: 3 hidden tanh units with bias, an output without; weights and biases from [-0.25, 0.25)
import numpy as np

import bpx

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
y = np.array([0, 1, 1, 0])
tanh = {"hidden": "tanh", "output": "tanh", "init": bpx.initializers.uniform(0.25), "dtype": "float64"}
# 10 000 steps, each on one sample drawn with replacement: 2 500 epochs of 4 draws
online = {"loss": "squared_error", "optimizer": bpx.SGD(0.2), "epochs": 2500, "batch_size": 1}
online["sampling"] = "replacement"


def solved(outputs):
    return np.max(np.abs(outputs[..., 0] - y), axis=-1) < 0.2  # every output within 0.2 of its target


net = bpx.MLP([2, 3, 1], bias=[True, False], **tanh)
print(f"the article's network has {net.n_params} weights")
bpx.fit(net, X, y, **online)
for sample in X:
    print(sample, f"{float(net(sample)[0]):+.3f}")

# %% 50 of them at once, as a stack: network k has seed k
stack = bpx.MLP([2, 3, 1], bias=[True, False], stack=50, **tanh)
bpx.fit(stack, X, y, **online)
print(f"solved by {np.sum(solved(stack.backend.to_host(stack(X))))} of 50 of the article's networks")

# %% Erratum: the article calls it a [2, 2, 1] network, but its code adds the bias unit to the hidden layer and runs it
# through tanh, which makes a third hidden unit and leaves the output without bias: 12 weights, not 9. A true [2, 2, 1]
# sometimes stops in a local minimum:
true = bpx.MLP([2, 2, 1], stack=64, **tanh)
bpx.fit(true, X, y, **online)
escaped = np.sum(solved(true.backend.to_host(true(X))))
print(f"a true [2, 2, 1] has {true.n_params}; {escaped} of 64 got out of local minima")

# %% The ideal neuron, a step: it answers, but nothing can be learned through it
step = bpx.MLP([2, 1], output="step", init="zeros")
step.set_params({"0.W": [[1.0], [1.0]], "0.b": [-1.5]})
print("AND by a step:", step(X)[:, 0])
try:
    step.loss_and_grads(X, y, "squared_error")
except bpx.NotDifferentiableError as error:
    print(error)

# %% Expected output
# the article's network has 12 weights
# [0 0] +0.000
# [0 1] +0.987
# [1 0] +0.987
# [1 1] +0.000
# solved by 50 of 50 of the article's networks
# a true [2, 2, 1] has 9; 20 of 64 got out of local minima
# AND by a step: [0. 0. 0. 1.]
# activation 'step' has no derivative to learn by: it is for forward only; train with 'sigmoid', its smooth form
