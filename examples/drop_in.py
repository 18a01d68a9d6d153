"""scikit-learn's MLPClassifier with one import changed. Run: python examples/drop_in.py [--backend cupy]"""

# %% The same program, the two imports side by side
import argparse
import time
import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier as ScikitMLPClassifier

from bpx import MLPClassifier

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--backend", default="numpy", help="auto, numpy, cupy, torch, torch:cuda")
backend = parser.parse_args().backend

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
warnings.simplefilter("ignore", ConvergenceWarning)  # 60 epochs on purpose
settings = {"hidden_layer_sizes": (100,), "max_iter": 60, "random_state": 0}

# %% Fit both in turn, three times each
models = {"scikit-learn": ScikitMLPClassifier(**settings), "bpx": MLPClassifier(**settings, backend=backend)}
seconds = {name: [] for name in models}
for _ in range(3):
    for name, model in models.items():
        start = time.perf_counter()
        model.fit(X_train, y_train)
        seconds[name].append(time.perf_counter() - start)

# %% Equal loss curves, weights and predictions; and the times
theirs, ours = models["scikit-learn"], models["bpx"]
print(f"bpx ran on {ours.backend_} ({ours.device_})")
print(f"accuracy: scikit-learn {theirs.score(X_test, y_test):.4f}, bpx {ours.score(X_test, y_test):.4f}")
print("loss curves equal to 1e-10:", np.allclose(theirs.loss_curve_, ours.loss_curve_, rtol=1e-10, atol=0))
print("predictions equal:", np.array_equal(theirs.predict(X_test), ours.predict(X_test)))
print(f"fit, best of three: scikit-learn in {min(seconds['scikit-learn']):.2f} s, bpx in {min(seconds['bpx']):.2f} s")

# %% Expected output, apart from the times
# bpx ran on numpy (cpu)
# accuracy: scikit-learn 0.9689, bpx 0.9689
# loss curves equal to 1e-10: True
# predictions equal: True
# fit, best of three: scikit-learn in 0.15 s, bpx in 0.08 s
