"""Every picture of bpx.plotting, 800 pixels wide, in 256 colours. Run: python examples/gallery.py"""

from itertools import product
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits, make_moons

import bpx
from bpx import plotting

(folder := Path(__file__).with_name("gallery")).mkdir(exist_ok=True)


def save(name, display):
    display.figure_.savefig(folder / f"{name}.png")
    Image.open(folder / f"{name}.png").convert("RGB").quantize(256).save(folder / f"{name}.png", optimize=True)


# %% One step of back-propagation with its numbers: article 001
net = bpx.MLP([2, 2, 2], hidden="sigmoid", output="sigmoid", dtype="float64")
net.set_params({"0.W": [[0.1, 0.3], [0.2, 0.4]], "0.b": [0.55] * 2, "1.W": [[0.5, 0.7], [0.6, 0.8]], "1.b": [0.66] * 2})
save("step", plotting.NetworkDisplay.from_trace(bpx.trace(net, [0.1, 0.2], [0.01, 0.99])))

# %% Two moons: 32 networks at once, their losses and their decision boundaries
X, y = make_moons(300, noise=0.25, random_state=0)
stack = bpx.MLP([2, 16, 2], hidden="tanh", stack=32)
history = bpx.fit(stack, X[:100], y[:100], epochs=300, optimizer=bpx.Adam(0.01), validation=(X[100:], y[100:]))
save("losses_of_32", plotting.LossCurveDisplay.from_history(history, ylabel="cross-entropy (nats)"))
save("boundaries_of_32", plotting.DecisionBoundaryDisplay.from_network(stack, X[:100], y[:100]))
save("boundary", plotting.DecisionBoundaryDisplay.from_network(stack, X, y, member=0, class_names=["upper", "lower"]))

# %% Digits: gradient check, loss, network, hidden weights, predictions of the held-out ones
X, y = load_digits(return_X_y=True)
X, train, test = (X - X.mean()) / X.std(), slice(0, 1200), slice(1200, None)
net = bpx.MLP([64, 24, 10], hidden="tanh")
save("gradients", plotting.GradientCheckDisplay.from_report(bpx.check_gradients(net, X[:8], y[:8], max_entries=60)))
history = bpx.fit(
    net, X[train], y[train], epochs=100, l2=0.003, validation=(X[test], y[test]), stop=bpx.stop.Patience()
)
predicted = net.backend.to_host(net(X[test])).argmax(axis=1)
save("loss", plotting.LossCurveDisplay.from_history(history, ylabel="cross-entropy (nats)"))
save("network", plotting.NetworkDisplay.from_network(net))
save("hidden_weights", plotting.HiddenWeightsDisplay.from_network(net))
save("images", plotting.ImageGridDisplay.from_images(X[test], None, y[test], predicted, max_images=40, cmap="gray_r"))

# %% A sweep: the held-out accuracy of 20 settings
rows = []
for rate, l2 in product((0.0003, 0.001, 0.003, 0.01, 0.03), (0.0, 0.001, 0.01, 0.1)):
    net = bpx.MLP([64, 24, 10])
    bpx.fit(net, X[train], y[train], epochs=5, optimizer=bpx.Adam(rate), l2=l2)
    right = net.backend.to_host(net(X[test])).argmax(axis=1) == y[test]
    rows.append({"learning rate": rate, "l2": l2, "score": right.mean()})
save("sweep", plotting.SweepDisplay.from_sweep(rows))
print(f"saved {len(list(folder.iterdir()))} pictures in {folder.name}")

# %% Expected output
# saved 10 pictures in gallery
