"""Article 001: two moons, six hidden sizes side by side, and the cost curve. Run: python examples/two_moons.py"""

# %% 60 noisy points; tanh hidden, two sigmoid outputs with binary cross-entropy, prediction by arg-max
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons

import bpx
from bpx import plotting

X, y = make_moons(60, noise=1.0, random_state=1)

# %% Full-batch gradient descent, rate 0.1, 30 000 iterations, weights normal / sqrt(fan_in), biases 0
with plotting.style():
    figure, panels = plt.subplot_mosaic("abcg;defg", figsize=(8, 3.8), width_ratios=(1, 1, 1, 1.4))
curve = panels.pop("g")
for panel, size in zip(panels.values(), (1, 2, 4, 10, 20, 50), strict=True):
    net = bpx.MLP([2, size, 2], hidden="tanh", output="sigmoid", init="lecun_normal", dtype="float64", seed=3)
    descent = {"optimizer": bpx.SGD(0.1), "epochs": 30_000, "batch_size": None}
    history = bpx.fit(net, X, y, loss="binary_cross_entropy", **descent)
    accuracy = np.mean(net.backend.to_host(net(X)).argmax(axis=1) == y)
    print(f"{size:2} hidden: cost {history.loss[0]:.3f} -> {history.loss[-1]:.3f}, training accuracy {accuracy:.1%}")
    title = f"{size} hidden, {accuracy:.0%}"
    plotting.DecisionBoundaryDisplay.from_network(net, X, y, ax=panel, legend=False, point_size=10, title="")
    panel.set(xlabel="", ylabel="", xticks=[], yticks=[])
    panel.set_title(title, fontsize=9)
    plotting.LossCurveDisplay.from_history(history, ax=curve, name=f"{size}", line_kw={"linewidth": 1.2})
curve.set(ylabel="", xlabel="iteration", xticks=[0, 30_000])
curve.set_title("Cost", fontsize=9)
curve.legend(title="hidden", fontsize=7, title_fontsize=7, loc="lower left")
picture = Path(__file__).with_name("two_moons.png")
figure.savefig(picture)
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
