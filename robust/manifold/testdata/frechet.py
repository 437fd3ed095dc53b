"""Writes frechet.json: two sets of features, and their squared Fréchet distance by scipy's matrix square root.

Run where numpy and scipy are: python frechet.py. Made with numpy 2.4.6 and scipy 1.17.1.
"""
import json

import numpy as np
from scipy.linalg import sqrtm

rng = np.random.default_rng(0)
n, features = 60, 6
# Rounded, so that JSON holds what the distance was computed of.
mixed = [np.round(rng.normal(size=(n, features)) @ rng.normal(size=(features, features)) + shift, 4) for shift in (0, 0.7)]
mean = [x.mean(0) for x in mixed]
covariance = [np.cov(x, rowvar=False) for x in mixed]
root = sqrtm(covariance[0])
distance = ((mean[0] - mean[1]) ** 2).sum() + np.trace(
    covariance[0] + covariance[1] - 2 * np.real(sqrtm(root @ covariance[1] @ root)))
with open("frechet.json", "w") as f:
    json.dump({"first": mixed[0].tolist(), "second": mixed[1].tolist(), "distance": float(distance)}, f)
