"""Articles 001 and 003: one step of back-propagation, number by number. Run: python examples/worked_step.py"""

# %% Article 001: inputs (0.1, 0.2), targets (0.01, 0.99), logistic units, rate 0.5; it writes W as (outputs, inputs)
import numpy as np

import bpx

double = {"hidden": "sigmoid", "output": "sigmoid", "dtype": "float64"}


def article_001(hidden_bias, output_bias):
    net = bpx.MLP([2, 2, 2], **double)
    W1, W2 = np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([[0.5, 0.6], [0.7, 0.8]])
    net.set_params({"0.W": W1.T, "0.b": hidden_bias, "1.W": W2.T, "1.b": output_bias})
    return bpx.trace(net, [0.1, 0.2], [0.01, 0.99], loss="squared_error", learning_rate=0.5)


used = article_001([0.55, 0.55], [0.66, 0.66])
print(used)

# %% Errata of 001: what it prints, beside the right number for the biases it used and for those it states
stated = article_001([0.55, 0.56], [0.66, 0.67])
printed = {
    "E of output 1 (printed for 2)": (0.0116359213, lambda t: t.losses[0]),
    "delta of output 1 (eq. 5.24 takes 0.7987, not 0.7887)": (0.1284037009, lambda t: t.layers[1].delta[0]),
    "dE/d out_h1 (inherits it)": (0.0496652891, lambda t: t.layers[0].grad_a[0]),
    "dE/dw1 (inherits it)": (0.0011362635, lambda t: t.layers[0].grad_W[0, 0]),
    "w1 after the step (taken with rate 0.1)": (0.0998863737, lambda t: t.layers[0].new_W[0, 0]),
    "w5 after the step (right)": (0.45906664745, lambda t: t.layers[1].new_W[0, 0]),
}
print(f"\n{'article 001':54} {'printed':>12} {'biases used':>12} {'stated':>12}")
for name, (wrong, number) in printed.items():
    print(f"{name:54} {wrong:12.10f} {number(used):12.10f} {number(stated):12.10f}")

# %% Article 003: 9 inputs, 2 hidden, 1 output, rate 0.01; it leaves these tables empty
h1, h2 = [0.1, 0.2, 0.3, -0.4, -0.1, -0.2, -0.3, 0.4, 0.5], [0.2, 0.4, 0.1, -0.2, -0.4, 0.3, 0.2, 0.4, -0.2]
net = bpx.MLP([9, 2, 1], **double)
net.set_params({"0.W": np.array([h1, h2]).T, "0.b": [-0.1, 0.2], "1.W": [[0.7], [0.5]], "1.b": [0.1]})
t = bpx.trace(net, [1, 0, 1, 0, 0, 1, 0, 0, 0], [1], learning_rate=0.01)
print("\narticle 003   net input      output  error (-dE/dz)    new bias")
for unit, layer, j in (("H1", 0, 0), ("H2", 0, 1), ("C", 1, 0)):
    at = t.layers[layer]
    print(f"{unit:11} {at.z[j]:12.10f} {at.a[j]:12.10f} {-at.delta[j]:12.10f} {at.new_b[j]:+13.10f}")
print("new output weights", t.layers[1].new_W[:, 0], "; new w11, w31, w61", t.layers[0].new_W[[0, 2, 5], 0])

# %% Expected output, from the errata on
# article 001                                                 printed  biases used       stated
# E of output 1 (printed for 2)                          0.0116359213 0.3110486109 0.3112191904
# delta of output 1 (eq. 5.24 takes 0.7987, not 0.7887)  0.1284037009 0.1267961054 0.1267289024
# dE/d out_h1 (inherits it)                              0.0496652891 0.0488614913 0.0490945833
# dE/dw1 (inherits it)                                   0.0011362635 0.0011178739 0.0011232067
# w1 after the step (taken with rate 0.1)                0.0998863737 0.0994410630 0.0994383967
# w5 after the step (right)                              0.4590666474 0.4590666475 0.4590883425
#
# article 003   net input      output  error (-dE/dz)    new bias
# H1          0.1000000000 0.5249791875 0.0114225603 -0.0998857744
# H2          0.8000000000 0.6899744811 0.0069986000 +0.2000699860
# C           0.8124726718 0.6926361652 0.0654350888 +0.1006543509
# new output weights [0.70034352 0.50045149] ; new w11, w31, w61 [ 0.10011423  0.30011423 -0.19988577]
