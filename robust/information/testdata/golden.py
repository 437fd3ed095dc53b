"""Writes golden.json: labels, values and their mutual information by scikit-learn's estimator, which is Ross's, with 3 neighbors.

Run where numpy, scipy and scikit-learn are: python golden.py. Made with numpy 2.4.6, scipy 1.17.1 and scikit-learn 1.9.1.
Each case has a dependence that is strong enough for scikit-learn not to cut the estimate at 0, and more than 7 samples a label: below,
it finds neighbors by products, and rounding decides which samples are nearer than the last.
"""
import json

import numpy as np
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.feature_selection import mutual_info_classif

rng = np.random.default_rng(0)
cases = []
for name, n, classes, gap, scale in [("two", 200, 2, 1.5, 1.0), ("three, far from zero", 150, 3, 2.0, 1e-3), ("uneven", 120, 2, 3.0, 50.0)]:
    labels = rng.integers(0, classes, n) if name != "uneven" else (rng.random(n) < 0.15).astype(int)
    values = np.round(scale * (rng.normal(size=n) + gap * labels + (100 if "far" in name else 0)), 9)
    assert len(set(values)) == n  # scikit-learn's noise changes nothing
    mi = mutual_info_classif(values[:, None], labels, discrete_features=False, n_neighbors=3, random_state=0)[0]
    cases.append({"name": name, "labels": labels.tolist(), "values": values.tolist(), "mi": float(mi)})


def entropy(p):
    return -sum(q * np.log(q) for q in (p, 1 - p) if q > 0)


closed = []
for rho in (0.01, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999):
    slope = rho / np.sqrt(1 - rho**2)
    value = quad(lambda b: 2 * norm.pdf(b) * entropy(norm.cdf(slope * b)), 0, 12, points=[1 / slope] if slope > 1 else None,
                 epsabs=1e-13, epsrel=1e-13, limit=500)[0]
    closed.append({"rho": rho, "mi": float(np.log(2) - value)})
with open("golden.json", "w") as f:
    json.dump({"ross": cases, "sign": closed}, f)
