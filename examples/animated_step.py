"""Article 001's step of back-propagation as a web page that one can watch. Run: python examples/animated_step.py"""

# %% The network of article 001, with the biases that it used; it writes W as (outputs, inputs)
from pathlib import Path

import numpy as np

import bpx

net = bpx.MLP([2, 2, 2], hidden="sigmoid", output="sigmoid", dtype="float64")
W1, W2 = np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([[0.5, 0.6], [0.7, 0.8]])
net.set_params({"0.W": W1.T, "0.b": [0.55, 0.55], "1.W": W2.T, "1.b": [0.66, 0.66]})
trace = bpx.trace(net, [0.1, 0.2], [0.01, 0.99], loss="squared_error", learning_rate=0.5)

# %% The page, opened in English and in Chinese; open one in a browser, and press space or the right arrow
for language in ("en", "zh"):
    page = trace.animate(Path(__file__).with_name(f"animated_step.{language}.html"), language)
    print(f"{page.name}: {page.stat().st_size / 1000:.0f} kB")
print(f"loss {trace.loss:.10f}, after the step {trace.new_loss:.10f}")

# %% Expected output
# animated_step.en.html: 62 kB
# animated_step.zh.html: 62 kB
# loss 0.3226845322, after the step 0.3069226681
