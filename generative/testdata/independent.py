"""Measures generated features by torch-fidelity and prdc. In the folder that is named, N_real.npy and N_generated.npy hold features
[n, d], and K.json the numbers of neighbors, one for each N from 0 on; prints a JSON list with the measures of each. Values are computed
in float64."""

import contextlib
import json
import pathlib
import sys

import numpy as np
import prdc
import torch
from sklearn.metrics.pairwise import polynomial_kernel
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric


def measure(real, generated, k):
    x, y = torch.from_numpy(real), torch.from_numpy(generated)
    statistics = [fid_features_to_statistics(f) for f in (x, y)]
    neighbors = prc_features_to_metric(y, x, prc_neighborhood=k, verbose=False)
    found = {
        "fid": fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"],
        "precision": neighbors["precision"],
        "recall": neighbors["recall"],
        "prdc": {name: float(v) for name, v in prdc.compute_prdc(real, generated, nearest_k=k).items()},
    }
    n, m = len(x), len(y)
    if n == m:  # torch-fidelity takes subsets of one size: here, of all
        of_all = kid_features_to_metric(x, y, kid_subsets=1, kid_subset_size=n, verbose=False)
        found["kid"] = of_all["kernel_inception_distance_mean"]
    else:  # scikit-learn's kernel, whose defaults are KID's
        xx, yy, xy = polynomial_kernel(real), polynomial_kernel(generated), polynomial_kernel(real, generated)
        within = lambda k: (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))
        found["kid"] = float(within(xx) + within(yy) - 2 * xy.mean())
    return found


folder = pathlib.Path(sys.argv[1])
load = lambda name: np.load(folder / name).astype(np.float64)
with contextlib.redirect_stdout(sys.stderr):  # prdc prints
    measures = [
        measure(load(f"{i}_real.npy"), load(f"{i}_generated.npy"), k)
        for i, k in enumerate(json.loads((folder / "K.json").read_text()))
    ]
print(json.dumps(measures))
