"""Trains a classifier of scikit-learn's digits for MLServer, in the folder that is given, with twenty test images beside it."""

import json
import pathlib
import sys

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
x, y = load_digits(return_X_y=True)
x = (x / 16).astype(np.float32)
model = LogisticRegression(max_iter=200).fit(x[:-200], y[:-200])
joblib.dump(model, folder / "digits.joblib")
x[-20:].tofile(folder / "x.f32")
model.predict_proba(x[-20:]).astype(np.float64).tofile(folder / "p.f64")
(folder / "model-settings.json").write_text(json.dumps({
    "name": "digits", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "./digits.joblib"}}))
(folder / "settings.json").write_text(json.dumps({
    "http_port": port, "grpc_port": port + 1, "metrics_port": port + 2, "host": "127.0.0.1", "parallel_workers": 0}))
