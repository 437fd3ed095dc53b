"""Makes sequences.json.gz: single operators that look along sequences or sample images, with ONNX Runtime's answers.

Needs onnx, onnxruntime and numpy; running the Go tests needs none of them.

    python3 nets/onnx/testdata/make_sequences.py

The file is a list of tests as testdata/conformance.py describes them. They have what the package onnx's own tests leave
out: directions, lengths of sequences, initial states, peepholes, clipping, other activations; every mode of GridSample,
with places outside; places that are scattered to more than once.
"""
import base64
import gzip
import itertools
import json
import os

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
onnxruntime.set_default_logger_severity(4)
rng = np.random.default_rng(1)
cases = []


def encode(message):
    return base64.b64encode(message.SerializeToString()).decode()


def numbers(*shape):
    return (rng.integers(-16, 17, shape) / 16).astype(np.float32)


def case(name, op, opset, inputs, outputs, **attributes):
    names = ["" if v is None else f"i{k}" for k, v in enumerate(inputs)]
    given = {n: v for n, v in zip(names, inputs) if n}
    infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in given.items()]
    results = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs if o]
    graph = helper.make_graph([helper.make_node(op, names, outputs, **attributes)], "g", infos, results)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 19 else 10)
    answers = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, given)
    cases.append({"name": f"{op}-{opset} {name}", "op": op, "model": encode(model),
                  "inputs": [encode(numpy_helper.from_array(v, n)) for n, v in given.items()],
                  "outputs": [encode(numpy_helper.from_array(a, r.name)) for a, r in zip(answers, results)], "rtol": 1e-4, "atol": 1e-6})


def network(name, nodes, x, constants, wanted):
    """Of several operators, with a batch that the file fixes or not."""
    given = {"x": x, **constants}
    infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in given.items()]
    graph = helper.make_graph([helper.make_node(op, i, o, **a) for op, i, o, a in nodes], "g", infos,
                              [helper.make_tensor_value_info(wanted, TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    answers = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, given)
    cases.append({"name": "whole " + name, "op": "", "model": encode(model), "inputs": [encode(numpy_helper.from_array(v, n)) for n, v in given.items()],
                  "outputs": [encode(numpy_helper.from_array(answers[0], wanted))], "rtol": 1e-4, "atol": 1e-6})


def wholes():
    # As PyTorch writes layers with the batch first, and states of the batch that the example had.
    for op, direction, batch in itertools.product(["RNN", "GRU", "LSTM"], ["forward", "bidirectional"], [1, 2]):
        gates, d, wide, hidden, times = {"RNN": 1, "GRU": 3, "LSTM": 4}[op], 2 if direction == "bidirectional" else 1, 3, 4, 5
        c = {"w": numbers(d, gates * hidden, wide), "r": numbers(d, gates * hidden, hidden), "b": numbers(d, 2 * gates * hidden),
             "h": np.zeros((d, batch, hidden), np.float32), "out": numbers(d * hidden, 3), "shape": np.array([0, 0, -1]), "last": np.array(-1)}
        states = ["h", "h"] if op == "LSTM" else ["h"]
        nodes = [("Transpose", ["x"], ["t"], {"perm": [1, 0, 2]}),
                 (op, ["t", "w", "r", "b", "", *states], ["y", "yh"], {"hidden_size": hidden, "direction": direction}),
                 ("Transpose", ["y"], ["u"], {"perm": [0, 2, 1, 3]}), ("Reshape", ["u", "shape"], ["v"], {}),
                 ("Transpose", ["v"], ["z"], {"perm": [1, 0, 2]}), ("Gather", ["z", "last"], ["e"], {"axis": 1}),
                 ("MatMul", ["e", "out"], ["logits"], {})]
        network(f"{op} {direction} {batch}", nodes, numbers(batch, times, wide), c, "logits")


def recurrent():
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}
    times, batch, wide, hidden = 4, 3, 2, 3
    for op, direction in itertools.product(gates, ["forward", "reverse", "bidirectional"]):
        d, g = 2 if direction == "bidirectional" else 1, gates[op] * hidden
        states = 2 if op == "LSTM" else 1
        outputs = ["Y", "Y_h", "Y_c"][:1 + states]

        def make(name, opset=14, bias=True, lengths=False, initial=False, peepholes=False, outputs=outputs, **attributes):
            inputs = [numbers(times, batch, wide), numbers(d, g, wide), numbers(d, g, hidden), numbers(d, 2 * g) if bias else None,
                      np.array([4, 1, 3], np.int32) if lengths else None]
            inputs += [numbers(d, batch, hidden) if initial else None for _ in range(states)]
            inputs.append(numbers(d, 3 * hidden) if peepholes else None)
            while inputs[-1] is None:
                inputs.pop()
            case(f"{direction} {name}", op, opset, inputs, outputs, hidden_size=hidden, direction=direction, **attributes)

        make("plain", bias=False)
        make("bias")
        make("lengths", lengths=True)
        make("states and lengths", lengths=True, initial=True)
        make("last state alone", opset=7, initial=True, outputs=["", "Y_h"])
        if op != "LSTM":  # of which ONNX Runtime does not clip the cell, as the format does
            make("clipped", clip=0.5)
        if op == "GRU":
            make("reset outside", linear_before_reset=1)
            make("reset outside, states and lengths", linear_before_reset=1, lengths=True, initial=True)
            make("activations", activations=["HardSigmoid", "Relu"] * d, activation_alpha=[0.3] * d, activation_beta=[0.4] * d)
        if op == "LSTM":
            make("peepholes", peepholes=True, initial=True)
            make("activations", activations=["Sigmoid", "Softsign", "LeakyRelu"] * d, activation_alpha=[0.2] * d)
        if op == "RNN":
            make("relu", activations=["Relu"] * d)


def sampled():
    modes = {16: ["bilinear", "bicubic", "nearest"], 20: ["linear", "cubic", "nearest"]}
    for opset in modes:
        for mode, padding, corners in itertools.product(modes[opset], ["zeros", "border", "reflection"], [0, 1]):
            grid = (rng.integers(-19, 20, (2, 3, 3, 2)) / 13 + 0.01).astype(np.float32)
            case(f"{mode} {padding} {corners}", "GridSample", opset, [numbers(2, 2, 4, 5), grid], ["Y"], mode=mode, padding_mode=padding,
                 align_corners=corners)
    for corners in [0, 1]:
        case(f"plane {corners}", "AffineGrid", 20, [numbers(2, 2, 3), np.array([2, 1, 3, 4])], ["Y"], align_corners=corners)
        case(f"space {corners}", "AffineGrid", 20, [numbers(2, 3, 4), np.array([2, 1, 2, 3, 4])], ["Y"], align_corners=corners)


def others():
    case("batch first", "ReverseSequence", 10, [numbers(3, 4, 2), np.array([4, 1, 3])], ["Y"], batch_axis=0, time_axis=1)
    case("three axes", "Col2Im", 18, [numbers(2, 12, 4), np.array([4, 5]), np.array([2, 3])], ["Y"], strides=[2, 2], pads=[0, 0, 0, 0])
    case("both", "CenterCropPad", 18, [numbers(2, 4, 7), np.array([7, 4])], ["Y"], axes=[1, -1])
    case("repeated", "ScatterND", 18, [numbers(4, 3), np.array([[1], [-3], [0], [1]]), numbers(4, 3)], ["Y"], reduction="mul")
    case("repeated", "ScatterElements", 18, [numbers(4, 3), np.array([[1, 0, 3], [-3, 2, 3]]), numbers(2, 3)], ["Y"], axis=0, reduction="mul")
    case("part", "RotaryEmbedding", 23, [numbers(2, 3, 4, 6), numbers(8, 2), numbers(8, 2), np.array([[1, 2, 7, 0], [0, 3, 2, 5]])], ["Y"],
         rotary_embedding_dim=4, interleaved=1)
    low = np.float32(-np.inf)
    case("masked", "ReduceMax", 18, [np.array([[1, low, 3], [low, low, 0.5]], np.float32), np.array([1])], ["Y"])


if __name__ == "__main__":
    recurrent()
    sampled()
    others()
    wholes()
    path = os.path.join(HERE, "sequences.json.gz")
    with open(path, "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="") as z:
        z.write(json.dumps(cases).encode())
    print(len(cases), "tests,", os.path.getsize(path), "bytes")
