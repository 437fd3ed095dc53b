"""Times the subset scanning of the Adversarial Robustness Toolbox, on one thread: for every line read, the name of a case, one run,
its seconds written as a line; "NAME cpu" asks for seconds of processor instead, and "sum of NAME" for a number by which the Go
benchmark that asks sees that both sides find the same. "load FOLDER" comes first: it reads the arrays that Go wrote there."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import sys
import time
import types

import numpy as np

import art
from art.defences.detector.evasion.subsetscanning.detector import SubsetScanningDetector
from art.defences.detector.evasion.subsetscanning.scanner import Scanner

data = types.SimpleNamespace()


def load(folder):
    data.background = np.load(os.path.join(folder, "background.npy"))
    data.activations = np.load(os.path.join(folder, "activations.npy"))
    # All of a detector that its p-values need: it takes its activations from a classifier, which there is none of.
    data.detector = types.SimpleNamespace(
        sorted_bgd_activations=background(), _layer_name="", _get_activations=lambda x, layer, batch_size: x)
    data.p = p_values()
    return 0


def background():  # as the detector's constructor sorts it
    return np.sort(data.background, axis=0)


def p_values():
    return SubsetScanningDetector._calculate_pvalue_ranges(data.detector, data.activations)


def singles():
    return [Scanner.fgss_individ_for_nets(p)[0] for p in data.p]


def climb():  # from all nodes
    return Scanner.fgss_for_nets(data.p, restarts=1)[0]


cases = {"background": background, "p-values": p_values, "singles": singles, "climb": climb}
print(f"ART {art.__version__}, NumPy {np.__version__}, 1 thread", flush=True)
for line in sys.stdin:
    line = line.strip()
    clock = time.process_time if line.endswith(" cpu") else time.perf_counter
    name = line.removesuffix(" cpu")
    if name.startswith("load "):
        answer = load(name.removeprefix("load "))
    elif name.startswith("sum of "):
        answer = float(np.sum(cases[name.removeprefix("sum of ")](), dtype=np.float64))
    else:
        start = clock()
        cases[name]()
        answer = clock() - start
    print(answer, flush=True)
