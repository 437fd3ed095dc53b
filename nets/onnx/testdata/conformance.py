"""Prints the conformance tests of the installed onnx package, one a line, for TestConformance.

    python3 nets/onnx/testdata/conformance.py              # all of them
    python3 nets/onnx/testdata/conformance.py lstm gather  # those that lie in the package's data, and these node tests

Nothing of it is copied into the repository. The package keeps its node tests as Python that computes inputs and outputs
with NumPy, and the others as files. A line is

    {"name", "kind", "op", "model": BASE64, "inputs": [BASE64, ...], "outputs": [BASE64, ...], "rtol", "atol"}

with a ModelProto and TensorProtos; "" stands for what is no tensor. "op" is the operator that is tested, also where a test
spells it out by others ("_expanded"), and empty for networks of several operators.
"""
import base64
import glob
import importlib
import json
import os
import re
import sys
import warnings

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.backend.test import loader

warnings.filterwarnings("ignore")


def encode(message):
    return base64.b64encode(message.SerializeToString()).decode()


def tensor(value, info):
    if info.type.WhichOneof("value") != "tensor_type" or value is None or isinstance(value, (list, dict)):
        return ""
    if isinstance(value, TensorProto):
        return encode(value)
    return encode(numpy_helper.from_array(np.asarray(value), info.name))


def operator(model):
    found = {n.op_type for n in model.graph.node} - {"Constant"}
    return found.pop() if len(found) == 1 else ""


def write(case, model, op, inputs, outputs):
    print(json.dumps({"name": case.name, "kind": case.kind, "op": op, "model": encode(model), "inputs": inputs,
                      "outputs": outputs, "rtol": case.rtol, "atol": case.atol}))


def node_cases(modules):
    if not modules:
        return loader.load_node_model_tests()
    from onnx.backend.test.case.node import _NodeTestCases
    for name in modules:
        importlib.import_module("onnx.backend.test.case.node." + name)
    return _NodeTestCases


def write_nodes(modules):
    tested = {}
    for case in node_cases(modules):
        base = re.sub(r"_expanded(_ver\d+)?$", "", case.name)
        op = tested.setdefault(base, case.model.graph.node[0].op_type)
        graph = case.model.graph
        for inputs, outputs in case.data_sets:
            write(case, case.model, op, [tensor(v, i) for v, i in zip(inputs, graph.input)],
                  [tensor(v, o) for v, o in zip(outputs, graph.output)])


def read(path, info):
    if info.type.WhichOneof("value") != "tensor_type":
        return ""
    with open(path, "rb") as f:
        return base64.b64encode(f.read()).decode()


def write_files(kind):
    for case in sorted(loader.load_model_tests(kind=kind), key=lambda c: c.name):
        model = onnx.load(os.path.join(case.model_dir, "model.onnx"))
        weights = {t.name for t in model.graph.initializer}
        given = [i for i in model.graph.input if i.name not in weights]
        for data in sorted(glob.glob(os.path.join(case.model_dir, "test_data_set_*"))):
            write(case, model, operator(model),
                  [read(os.path.join(data, "input_%d.pb" % k), i) for k, i in enumerate(given)],
                  [read(os.path.join(data, "output_%d.pb" % k), o) for k, o in enumerate(model.graph.output)])


def main():
    for kind in ["simple", "pytorch-converted", "pytorch-operator"]:
        write_files(kind)
    write_nodes(sys.argv[1:])


if __name__ == "__main__":
    main()
