"""Article 001: two moons, six hidden sizes side by side, and the cost curve. Run: python examples/two_moons.py"""

# %% 60 noisy points; tanh hidden, two sigmoid outputs with binary cross-entropy, prediction by arg-max
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons

import bpx

X, y = make_moons(60, noise=1.0, random_state=1)
span = [np.linspace(X[:, i].min() - 0.5, X[:, i].max() + 0.5, 200) for i in (0, 1)]
grid = np.stack(np.meshgrid(*span), axis=-1).reshape(-1, 2)

# %% Full-batch gradient descent, rate 0.1, 30 000 iterations, weights normal / sqrt(fan_in), biases 0
figure = plt.figure(figsize=(8, 3.6), layout="constrained")
panels = figure.subplot_mosaic("abcg;defg", width_ratios=(1, 1, 1, 1.4))
curve = panels.pop("g")
for panel, size in zip(panels.values(), (1, 2, 4, 10, 20, 50), strict=True):
    net = bpx.MLP([2, size, 2], hidden="tanh", output="sigmoid", init="lecun_normal", dtype="float64", seed=3)
    descent = {"optimizer": bpx.SGD(0.1), "epochs": 30_000, "batch_size": None}
    history = bpx.fit(net, X, y, loss="binary_cross_entropy", **descent)
    accuracy = np.mean(net.backend.to_host(net(X)).argmax(axis=1) == y)
    print(f"{size:2} hidden: cost {history.loss[0]:.3f} -> {history.loss[-1]:.3f}, training accuracy {accuracy:.1%}")
    classes = net.backend.to_host(net(grid)).argmax(axis=1).reshape(200, 200)
    panel.contourf(*span, classes, levels=[-0.5, 0.5, 1.5], colors=["#a6cee3", "#fdd0a2"])
    panel.scatter(*X.T, c=np.where(y == 0, "#1f78b4", "#d94801"), s=8)
    panel.set(title=f"{size} hidden, {accuracy:.0%}", xticks=[], yticks=[])
    curve.plot(history.loss, label=f"{size}", linewidth=1)
curve.set(title="Cost", xlabel="iteration", xticks=[0, 30_000])
curve.legend(title="hidden", fontsize=7, title_fontsize=7, ncols=2)
picture = Path(__file__).with_name("two_moons.png")
figure.savefig(picture, dpi=100)
print(f"saved {picture.name}")

# %% Errata: the article's cross-entropy y log a + (1 - y) log(1 - a), and its derivative, lack the minus sign, and the
# docstring of its tanh derivative says 1 - x^2 where it is 1 - tanh(x)^2: at x = 0.5 that is 0.7864, not 0.7500

# %% Expected output
#  1 hidden: cost 1.718 -> 0.847, training accuracy 83.3%
#  2 hidden: cost 1.629 -> 0.766, training accuracy 86.7%
#  4 hidden: cost 1.189 -> 0.366, training accuracy 90.0%
# 10 hidden: cost 1.562 -> 0.023, training accuracy 100.0%
# 20 hidden: cost 1.579 -> 0.013, training accuracy 100.0%
# 50 hidden: cost 1.915 -> 0.014, training accuracy 100.0%
# saved two_moons.png
