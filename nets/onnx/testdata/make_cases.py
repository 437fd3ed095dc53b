"""Makes cases.json.gz: networks of the kinds that were once loaded as other networks, refused for false reasons, or had no
gradients here, with what ONNX Runtime and PyTorch say of them.

Needs onnx, onnxruntime, torch, scikit-learn, skl2onnx and numpy; running the Go tests needs none of them.

    python3 nets/onnx/testdata/make_cases.py

Each case: kind, name, model (base64), and either refused (a part of the message with which the file must be refused), or
shape and x (images), logits (of ONNX Runtime, of the output that is the logits, before anything is made of it), gradient
(of sum over i of sin(1+i) logits[i] by x, by PyTorch), output (the name that the user gives), note (a part of a note that
must be told). Gradients are left out where the logits are of one column, or of an output that PyTorch has no part in.
"""
import base64
import gzip
import io
import json
import logging
import os
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
import torch
import torch.nn as nn
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization

import onnx_torch

HERE = os.path.dirname(os.path.abspath(__file__))
cases = []
rng = np.random.default_rng(5)


def weight(*shape):
    return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32)


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


class Net:
    """A graph under construction: images x, then whatever is added, then a dense layer to the logits."""

    def __init__(self, opset, *shape, batch="N"):
        self.opset, self.shape, self.batch, self.nodes, self.inits, self.at, self.made = opset, shape, batch, [], [], "x", 0

    def const(self, array):
        self.made += 1
        self.inits.append(numpy_helper.from_array(np.asarray(array), "c%d" % self.made))
        return "c%d" % self.made

    def add(self, op, *more, inputs=None, outputs=1, **attributes):
        """Adds a node on what was made last; of several outputs the first goes on."""
        names = []
        for _ in range(outputs):
            self.made += 1
            names.append("v%d" % self.made)
        inputs = [self.at] + [m if isinstance(m, str) else self.const(m) for m in more] if inputs is None else inputs
        self.nodes.append(helper.make_node(op, inputs, names, **attributes))
        self.at = names[0]
        return names

    def dense(self, inputs, classes=3):
        self.add("Flatten")
        if self.opset < 7:  # whose Gemm ONNX Runtime does not have
            self.add("MatMul", weight(inputs, classes))
        else:
            self.add("Gemm", weight(inputs, classes), weight(classes))
        return self

    def model(self, outputs=None):
        outputs = outputs or [value(self.at, [self.batch, 3])]
        graph = helper.make_graph(self.nodes, "case", [value("x", [self.batch, *self.shape])], outputs, self.inits)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8 if self.opset < 19 else 10)


def image(shape, n=4):
    return np.round(rng.random((n, *shape)).astype(np.float32), 6)


def take(kind, name, model, shape, refused=None, output="", logits="", note="", gradient=True, n=4, reference=None, plain=None):
    """Adds a case. reference: the model that ONNX Runtime and PyTorch run, where it is another; plain: PyTorch alone."""
    content = model.SerializeToString()
    case = {"kind": kind, "name": name, "model": base64.b64encode(content).decode(), "shape": [n, *shape]}
    cases.append(case)
    if output:
        case["output"] = output
    if refused:
        case["refused"] = refused
        return
    if note:
        case["note"] = note
    x = image(shape, n)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession((reference or model).SerializeToString(), options)
    wanted = logits or output or session.get_outputs()[0].name
    fixed = session.get_inputs()[0].shape[0]
    step = fixed if isinstance(fixed, int) else n
    z = np.concatenate([session.run([wanted], {"x": x[i:i + step]})[0] for i in range(0, n, step)])
    case["x"] = [float("%.7g" % v) for v in x.flatten()]
    case["logits"] = [[float("%.7g" % v) for v in row] for row in z.reshape(n, -1).astype(np.float64)]
    if not gradient or z.reshape(n, -1).shape[1] == 1:
        return
    grads = []
    for i in range(0, n, step):
        t = torch.tensor(x[i:i + step], requires_grad=True)
        w = torch.sin(1 + torch.arange(i * z[0].size, (i + step) * z[0].size, dtype=torch.float32))
        at = [o.name for o in (reference or model).graph.output].index(wanted)
        out = onnx_torch.run(plain or reference or model, {"x": t})[at]
        loss = (out.flatten() * w).sum()
        (g,) = torch.autograd.grad(loss, t, allow_unused=True) if loss.requires_grad else (None,)
        grads.append(torch.zeros_like(t) if g is None else g)
    case["gradient"] = [float("%.6g" % v) for v in torch.cat(grads).flatten().tolist()]


def clips():
    for opset, attributes in [(6, dict(min=0.0, max=6.0)), (7, dict(min=-0.1, max=0.2)), (8, dict(max=0.1)), (9, dict(min=0.0)), (10, dict(min=0.05, max=0.3)),
                              (10, {})]:
        n = Net(opset, 2, 4, 4)
        n.add("Conv", weight(3, 2, 3, 3), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        n.add("Clip", **attributes)
        take("clip-attributes", "opset %d %s" % (opset, attributes), n.dense(48).model(), (2, 4, 4))
    for opset, bounds in [(11, ["", np.float32(0.2)]), (12, [np.float32(-0.1)]), (13, [np.float32(0), np.float32(0.3)])]:
        n = Net(opset, 2, 4, 4)
        n.add("Clip", *bounds)
        take("clip-attributes", "opset %d inputs" % opset, n.dense(32).model(), (2, 4, 4))


def softmaxes():
    for op in ["Softmax", "LogSoftmax", "Hardmax"]:
        for opset, axis in [(7, None), (9, 2), (11, -1), (12, 1), (12, 3), (13, None), (13, 1)]:
            n = Net(opset, 3, 4, 4)
            n.add("Conv", 3 * weight(3, 3, 1, 1), kernel_shape=[1, 1])
            n.add(op, **({} if axis is None else {"axis": axis}))
            take("softmax-before-13", "%s opset %d axis %s" % (op, opset, axis), n.dense(48).model(), (3, 4, 4))


def splits():
    for opset, sizes, axis in [(7, [1, 4], 1), (9, [2, 3], -1), (11, [4, 1], 2), (12, None, 3)]:
        n = Net(opset, 5, 6, 5) if axis != 2 else Net(opset, 2, 5, 3)
        if axis == 3:
            n = Net(opset, 2, 3, 4)
        a, b = n.add("Split", outputs=2, axis=axis, **({"split": sizes} if sizes else {}))
        n.add("Flatten", inputs=[a])
        a = n.at
        n.add("Flatten", inputs=[b])
        n.add("Concat", inputs=[n.at, a], axis=1)
        n.add("Tanh")
        take("split-attribute", "opset %d %s axis %d" % (opset, sizes, axis), n.dense(int(np.prod(n.shape))).model(), n.shape)
    n = Net(13, 5, 3)
    a, b = n.add("Split", np.array([2, 3], np.int64), outputs=2, axis=1)
    n.add("Mul", inputs=[n.add("ReduceSum", np.array([1, 2], np.int64), inputs=None)[0], n.add("ReduceMean", inputs=[b], axes=[1, 2])[0]])
    take("split-attribute", "opset 13 input", n.dense(1).model(), (5, 3))
    n = Net(18, 5, 3)
    parts = n.add("Split", outputs=2, axis=1, num_outputs=2)
    n.add("Flatten", inputs=[parts[1]])
    take("split-attribute", "opset 18 uneven", n.dense(6).model(), (5, 3))


def training():
    stat = [np.ones(2, np.float32), np.zeros(2, np.float32), np.zeros(2, np.float32), np.ones(2, np.float32)]
    n = Net(15, 2, 4)
    n.add("BatchNormalization", *stat, outputs=3, training_mode=1)
    take("training-mode", "BatchNormalization 15", n.dense(8).model(), (2, 4), refused="exported in training mode")
    n = Net(14, 2, 4)
    n.add("BatchNormalization", *stat, outputs=1, training_mode=1)
    take("training-mode", "BatchNormalization 14", n.dense(8).model(), (2, 4), refused="exported in training mode")
    n = Net(9, 2, 4)
    n.add("BatchNormalization", *stat, outputs=5)
    take("training-mode", "BatchNormalization 9, five outputs", n.dense(8).model(), (2, 4), refused="exported in training mode")
    n = Net(6, 2, 4)
    n.add("BatchNormalization", *stat, outputs=1)
    take("training-mode", "BatchNormalization 6, is_test missing", n.dense(8).model(), (2, 4), refused="exported in training mode")
    n = Net(6, 2, 4)
    n.add("Dropout", ratio=0.3)
    take("training-mode", "Dropout 6, is_test missing", n.dense(8).model(), (2, 4), refused="exported in training mode")
    for opset in [12, 13, 22]:
        n = Net(opset, 2, 4)
        n.add("Dropout", np.float32(0.5), np.bool_(True))
        take("training-mode", "Dropout %d" % opset, n.dense(8).model(), (2, 4), refused="exported in training mode")
    for opset in [9, 15]:
        n = Net(opset, 2, 4)
        n.add("BatchNormalization", *[s + 0.3 for s in stat])
        take("training-mode", "evaluation %d" % opset, n.dense(8).model(), (2, 4))


def standardized():
    """Weights standardized channel by channel, as NFNets write it: batch normalization in training mode of what is no image."""
    for opset, bias in [(14, False), (15, True)]:
        n = Net(opset, 3, 5, 5)
        raw = n.const(weight(4, 3, 3, 3))
        flat = n.add("Reshape", inputs=[raw, n.const(np.array([1, 4, 27], np.int64))])[0]
        stat = [n.const(a.astype(np.float32)) for a in (rng.uniform(0.5, 1, 4), rng.normal(size=4), np.zeros(4), np.ones(4))]
        found = n.add("BatchNormalization", inputs=[flat, *stat], outputs=3, training_mode=1, epsilon=1e-3, momentum=0.7)
        kernel = n.add("Reshape", inputs=[found[0], n.const(np.array([4, 3, 3, 3], np.int64))])[0]
        n.add("Conv", inputs=["x", kernel], pads=[1, 1, 1, 1])
        if bias:  # the running variance as a bias, so that it is looked at
            n.add("Conv", inputs=["x", kernel, found[2]], pads=[1, 1, 1, 1])
        take("standardized-weights", "opset %d, %s" % (opset, "running variance" if bias else "weights"), n.dense(100).model(), (3, 5, 5))


def negatives():
    def case(name, op, opset, shape, *more, out, **attributes):
        n = Net(opset, *shape)
        n.add("Transpose", perm=[*range(1, len(shape) + 1), 0])  # the batch last: it is no place to look up
        n.add(op, *more, **attributes)
        rank = out[0]
        n.add("Transpose", perm=[rank - 1, *range(rank - 1)])
        take("negative-indices", name, n.dense(out[1]).model(), shape)
    i = np.array
    case("GatherND 11", "GatherND", 11, (3, 4), i([[-1, 0], [0, -2], [-3, -4]], np.int64), out=(2, 3))
    case("GatherND 12", "GatherND", 12, (3, 4), i([[-1], [1]], np.int64), out=(3, 8))
    case("GatherND 13 batch", "GatherND", 13, (2, 4), i([[[-1], [2]], [[0], [-3]]], np.int64), out=(3, 4), batch_dims=1)
    case("Gather 7", "Gather", 7, (3, 4), i([-1, -3, 0], np.int64), out=(3, 9), axis=1)
    case("Gather 11 scalar", "Gather", 11, (3, 4), i(-2, np.int64), out=(2, 4), axis=-3)
    n = Net(13, 3, 4)
    n.add("Tanh")
    n.add("GatherElements", np.tile(i([[[-1, -4, 0, 1]]], np.int64), (4, 1, 1)), axis=2)
    n.batch = 4
    take("negative-indices", "GatherElements 13, fixed batch", n.dense(4).model(), (3, 4), refused="fixed the batch size")
    n = Net(16, 3, 4)
    n.add("Transpose", perm=[1, 0, 2])
    rows = n.add("Gather", inputs=[n.at, n.const(i([1, -1], np.int64))])[0]
    n.add("ScatterND", inputs=[n.nodes[0].output[0], n.const(i([[-1], [0]], np.int64)), rows])
    n.add("Transpose", perm=[1, 0, 2])
    take("negative-indices", "ScatterND 16", n.dense(12).model(), (3, 4))


def slices():
    for opset, size, attributes in [(7, 30, dict(starts=[1], ends=[3], axes=[2])), (8, 20, dict(starts=[0, 1, -3], ends=[2 ** 31 - 1, 9, -1])),
                                    (9, 16, dict(starts=[-2, 0], ends=[99, -1], axes=[3, 1]))]:
        n = Net(opset, 3, 4, 5)
        n.add("Slice", **attributes)
        n.add("Sigmoid")
        take("old-slice", "opset %d" % opset, n.dense(size).model(), (3, 4, 5))
    i = lambda *v: np.array(v, np.int64)
    for opset in [10, 11, 13]:
        n = Net(opset, 3, 4, 5)
        n.add("Slice", i(-1, 4), i(-99, 0), i(1, -1), i(-1, -2))
        take("old-slice", "opset %d backwards" % opset, n.dense(3 * 4 * 2).model(), (3, 4, 5))


def pads():
    for opset, mode, pads in [(7, "constant", [0, 0, 1, 2, 0, 0, 0, 1]), (8, "reflect", [0, 0, 1, 2, 0, 0, 2, 1]), (9, "edge", [0, 0, 1, 2, 0, 0, 2, 1]),
                              (10, "constant", [0, 0, -1, 1, 0, 0, -1, 0])]:
        n = Net(opset, 2, 4, 5)
        n.add("Pad", mode=mode, pads=pads, **({"value": 0.5} if mode == "constant" else {}))
        n.add("Conv", weight(2, 2, 2, 2), kernel_shape=[2, 2])
        size = 2 * (3 + pads[2] + pads[6]) * (4 + pads[3] + pads[7])
        take("old-pad", "opset %d %s" % (opset, mode), n.dense(size).model(), (2, 4, 5))
    i = lambda *v: np.array(v, np.int64)
    for opset, mode, axes, widths in [(18, "constant", i(2, 3), i(1, 1, 1, 1)), (18, "reflect", i(-1), i(2, 1)), (19, "wrap", i(-2, 1), i(1, 1, 0, 1)),
                                      (21, "edge", i(3), i(2, 0)), (18, "constant", i(3), i(-1, 2))]:
        n = Net(opset, 2, 4, 5)
        n.add("Pad", widths, np.float32(0.25) if mode == "constant" else "", axes, mode=mode)
        n.add("Tanh")
        n.add("ReduceMean", i(3), keepdims=0) if opset > 18 else n.add("ReduceMean", i(-1), keepdims=0)
        grown = [2, 4]
        for k, a in enumerate(axes):
            a = int(a) % 4
            if a < 3:
                grown[a - 1] += int(widths[k] + widths[k + len(axes)])
        take("pad-axes", "opset %d %s %s" % (opset, mode, axes.tolist()), n.dense(grown[0] * grown[1]).model(), (2, 4, 5))


def gradients():
    def case(name, opset, build, out, shape=(2, 3, 4)):
        n = Net(opset, *shape)
        build(n)
        take("no-gradient", name, n.dense(out).model(), shape)
    case("Identity first", 13, lambda n: n.add("Identity"), 24)
    case("Identity in the midst", 16, lambda n: (n.add("Tanh"), n.add("Identity"), n.add("Identity"), n.add("Relu")), 24)
    case("Dropout 7", 7, lambda n: n.add("Dropout", ratio=0.4), 24)
    case("Dropout 10", 10, lambda n: (n.add("Tanh"), n.add("Dropout")), 24)
    case("Dropout 12", 12, lambda n: n.add("Dropout", np.float32(0.5)), 24)
    case("Dropout 22", 22, lambda n: n.add("Dropout", np.float32(0.5), np.bool_(False)), 24)
    for op, opset in [("Floor", 7), ("Floor", 13), ("Ceil", 13), ("Round", 11), ("Sign", 9)]:
        def gate(n, op=op):
            x = n.at
            n.add("Mul", np.float32(7.3))
            n.add("Add", inputs=[n.add(op)[0], x])
        case("%s %d" % (op, opset), opset, gate, 24)
    case("Floor alone", 13, lambda n: (n.add("Mul", np.float32(8)), n.add("Floor")), 24)
    case("Mod", 13, lambda n: (n.add("Mul", np.float32(7.3)), n.add("Mod", np.float32(1.7), fmod=1)), 24)
    case("ReduceProd", 13, lambda n: n.add("ReduceProd", axes=[2], keepdims=0), 8)
    case("ReduceProd 18", 18, lambda n: n.add("ReduceProd", np.array([1, -1], np.int64)), 3)
    for op in ["ArgMax", "ArgMin"]:
        def gate(n, op=op):
            x = n.at
            n.add(op, axis=2, keepdims=1)
            n.add("Cast", to=1)
            n.add("Mul", inputs=[n.at, x])
        case("%s as a gate" % op, 13, gate, 24)
    case("ReduceSum noop", 13, lambda n: n.add("ReduceSum", noop_with_empty_axes=1), 24)
    case("ReduceMean noop", 18, lambda n: n.add("ReduceMean", noop_with_empty_axes=1), 24)
    case("ReduceL1 noop", 18, lambda n: (n.add("Sub", np.float32(0.5)), n.add("ReduceL1", noop_with_empty_axes=1)), 24)
    case("cast to integers and back", 13, lambda n: (n.add("Mul", np.float32(9)), n.add("Cast", to=7), n.add("Cast", to=1)), 24)
    case("a mask of comparisons", 13, lambda n: n.add("Mul", inputs=[n.add("Cast", inputs=[n.add("Greater", np.float32(0.4))[0]], to=1)[0], "x"]), 24)


class Attention(nn.Module):
    def __init__(self, first, heads=2, width=8, tokens=6):
        super().__init__()
        self.first = first
        self.a = nn.MultiheadAttention(width, heads, batch_first=first)
        self.l = nn.Linear(width * tokens, 3)

    def forward(self, x):
        if not self.first:
            x = x.transpose(0, 1)
        y = self.a(x, x, x, need_weights=False)[0]
        if not self.first:
            y = y.transpose(0, 1)
        return self.l(y.flatten(1))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, dropout=0.0)
        self.l = nn.Linear(8, 3)

    def forward(self, x):
        return self.l(self.e(x).mean(1))


class Sums(nn.Module):
    """Batch and tokens in one axis, then apart again."""

    def __init__(self):
        super().__init__()
        self.f, self.l = nn.Linear(8, 5), nn.Linear(30, 3)

    def forward(self, x):
        b = x.shape[0]
        return self.l(torch.tanh(self.f(x.reshape(b * 6, 8))).reshape(b, 30))


def attention():
    for name, net in [("batch first", Attention(True)), ("tokens first", Attention(False)), ("four heads", Attention(False, 4)), ("encoder", Encoder()), ("joined axes", Sums())]:
        for batch in [1, 2]:
            torch.manual_seed(3)
            for p in net.parameters():
                p.data = torch.randn_like(p) * 0.4
            f = io.BytesIO()
            torch.onnx.export(net.eval(), (torch.zeros(batch, 6, 8),), f, dynamo=False, opset_version=17, input_names=["x"], output_names=["z"])
            take("fixed-batch", "%s, batch %d" % (name, batch), onnx.load_from_string(f.getvalue()), (6, 8))


def outputs():
    def base(opset=13):
        n = Net(opset, 2, 3)
        n.add("Flatten")
        n.add("Gemm", weight(6, 4), weight(4))
        return n
    n = base()
    n.add("Tanh")
    features = n.at
    n.add("Gemm", weight(4, 3), weight(3))
    take("outputs", "features first", n.model([value(features, ["N", 4]), value(n.at, ["N", 3])]), (2, 3), logits=n.at, note="is taken as the logits")
    take("outputs", "features last", n.model([value(n.at, ["N", 3]), value(features, ["N", 4])]), (2, 3), logits=n.at, note="is taken as the logits")
    take("outputs", "features named", n.model([value(n.at, ["N", 3]), value(features, ["N", 4])]), (2, 3), output=features)
    take("outputs", "no such name", n.model(), (2, 3), output="banana", refused='no output is named "banana"')
    z = n.at
    n.add("Softmax")
    take("outputs", "logits and probabilities", n.model([value(z, ["N", 3]), value(n.at, ["N", 3])]), (2, 3), logits=z, note="is taken as the logits")
    take("outputs", "probabilities and logits", n.model([value(n.at, ["N", 3]), value(z, ["N", 3])]), (2, 3), logits=z, note="is taken as the logits")
    n.add("ArgMax", inputs=[z], axis=1, keepdims=0)
    take("outputs", "label first", n.model([value(n.at, ["N"], TensorProto.INT64), value(z, ["N", 3])]), (2, 3), logits=z, note="is taken as the logits")
    n = base()
    z = n.at
    plain = n.model([value(z, ["N", 4])])
    n.nodes.append(helper.make_node("NonZero", [z], ["places"]))
    take("outputs", "an operator that only another output needs", n.model([value("places", [2, "K"], TensorProto.INT64), value(z, ["N", 4])]), (2, 3), logits=z,
         note="is taken as the logits", reference=plain)
    n = base()
    n.add("Gemm", weight(4, 1), weight(1))
    take("outputs", "one logit", n.model([value(n.at, ["N", 1])]), (2, 3), note="-z/2 and z/2")
    z = n.at
    n.add("Squeeze", np.array([1], np.int64))
    take("outputs", "one logit, no axis", n.model([value(n.at, ["N"])]), (2, 3), note="-z/2 and z/2")
    n.add("Sigmoid", inputs=[z])
    take("outputs", "one probability", n.model([value(n.at, ["N", 1])]), (2, 3), note="one probability, by a sigmoid")
    n.add("Squeeze", np.array([1], np.int64))
    take("outputs", "one probability, no axis", n.model([value(n.at, ["N"])]), (2, 3), note="one probability, by a sigmoid")
    n = Net(13, 3, 4, 4)
    n.add("Conv", weight(5, 3, 3, 3), kernel_shape=[3, 3])
    n.add("GlobalAveragePool")
    take("outputs", "classes as channels", n.model([value(n.at, ["N", 5, 1, 1])]), (3, 4, 4))
    n = base()
    n.add("Cast", to=TensorProto.DOUBLE)
    take("outputs", "double", n.model([value(n.at, ["N", 4], TensorProto.DOUBLE)]), (2, 3))


def sklearn():
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer, StandardScaler
    x = rng.random((60, 5)).astype(np.float32)
    y3, y2 = np.argmax(x[:, :3], 1), (x[:, 0] > x[:, 1]).astype(int)
    words = np.array(["a", "b", "c"])[y3]
    for name, model, labels in [
            ("MLPClassifier", MLPClassifier((6,), max_iter=80, random_state=1), y3),
            ("MLPClassifier, two classes", MLPClassifier((6,), max_iter=80, random_state=1), y2),
            ("MLPClassifier, words", MLPClassifier((6,), activation="tanh", max_iter=80, random_state=1), words),
            ("LogisticRegression", LogisticRegression(), y3),
            ("LogisticRegression, two classes", LogisticRegression(), y2),
            ("a pipeline", make_pipeline(StandardScaler(), LogisticRegression()), y3),
            ("a pipeline with a norm", make_pipeline(Normalizer("l2"), MLPClassifier((4,), max_iter=80, random_state=1)), words)]:
        model.fit(x, labels)
        for zipmap in [True, False]:
            m = to_onnx(model, x[:1].astype(np.float32), options={"zipmap": zipmap}, target_opset=17)
            rename(m, m.graph.input[0].name, "x")
            plain = to_onnx(model, x[:1].astype(np.float32), options={"zipmap": False}, target_opset=17)
            rename(plain, plain.graph.input[0].name, "x")
            take("scikit-learn", "%s, zipmap %s" % (name, zipmap), m, (5,), logits="probabilities", note="is taken as the logits", gradient=False, reference=plain)


def first():
    """The format's first versions, which ONNX Runtime does not run: it runs the same network in a later one."""
    channels = weight(3)
    spread = channels.reshape(3, 1, 1)
    stat = [rng.random(3).astype(np.float32) + 0.5 for _ in range(4)]
    full = [rng.random((3, 2, 4)).astype(np.float32) + 0.5 for _ in range(4)]
    i = lambda *v: np.array(v, np.int64)

    def pair(name, opset, old, new, out=24, shape=(3, 2, 4), later=13):
        w = weight(out, 3)
        nets = []
        for version, build in [(opset, old), (later, new)]:
            n = Net(version, *shape)
            build(n)
            n.add("Flatten")
            n.add("MatMul", w)
            nets.append(n.model())
        take("first-versions", name, nets[0], shape, reference=nets[1])

    for op in ["Add", "Sub", "Mul", "Div"]:
        pair("%s 6 along an axis" % op, 6, lambda n: n.add(op, channels, broadcast=1, axis=1), lambda n: n.add(op, spread))
        pair("%s 1 along the last axes" % op, 1, lambda n: n.add(op, full[0][0], broadcast=1, consumed_inputs=[0, 0]), lambda n: n.add(op, full[0][0]))
    pair("Pow 1", 1, lambda n: n.add("Pow", np.abs(channels) + 1, broadcast=1, axis=-3), lambda n: n.add("Pow", np.abs(spread) + 1))
    pair("Mul 6 of equal shapes", 6, lambda n: n.add("Mul", "x"), lambda n: n.add("Mul", "x"))
    pair("PRelu 6", 6, lambda n: (n.add("Sub", np.float32(0.5), broadcast=1), n.add("PRelu", channels)),
         lambda n: (n.add("Sub", np.float32(0.5)), n.add("PRelu", spread)))
    pair("BatchNormalization 6", 6, lambda n: n.add("BatchNormalization", *stat, is_test=1), lambda n: n.add("BatchNormalization", *stat))
    pair("BatchNormalization 1", 1, lambda n: n.add("BatchNormalization", *stat, is_test=1, spatial=1, consumed_inputs=[0, 0, 0, 1, 1], epsilon=0.1),
         lambda n: n.add("BatchNormalization", *stat, epsilon=0.1))
    pair("BatchNormalization 7, a number for each value", 7, lambda n: n.add("BatchNormalization", *full, spatial=0, epsilon=0.01),
         lambda n: (n.add("Sub", full[2]), n.add("Div", np.sqrt(full[3] + np.float32(0.01))), n.add("Mul", full[0]), n.add("Add", full[1])))
    pair("Dropout 6", 6, lambda n: n.add("Dropout", is_test=1), lambda n: n.add("Identity"))
    pair("Relu 1", 1, lambda n: (n.add("Sub", np.float32(0.5), broadcast=1), n.add("Relu", consumed_inputs=[0])),
         lambda n: (n.add("Sub", np.float32(0.5)), n.add("Relu")))
    pair("Selu 1", 1, lambda n: (n.add("Sub", np.float32(0.5), broadcast=1), n.add("Selu")),
         lambda n: (n.add("Sub", np.float32(0.5)), n.add("Selu", alpha=1.6732, gamma=1.0507)))
    pair("Clip 1", 1, lambda n: n.add("Clip", min=0.2, max=0.7, consumed_inputs=[0]), lambda n: n.add("Clip", np.float32(0.2), np.float32(0.7)))
    pair("Reshape 1", 1, lambda n: (n.add("Reshape", shape=[0, -1, 2]), n.add("Softmax", axis=2)), lambda n: (n.add("Reshape", i(0, -1, 2)), n.add("Softmax")))
    pair("Cast 1", 1, lambda n: (n.add("Mul", np.float32(9), broadcast=1), n.add("Cast", to="INT32"), n.add("Cast", to="FLOAT"), n.add("Mul", "x")),
         lambda n: (n.add("Mul", np.float32(9)), n.add("Cast", to=6), n.add("Cast", to=1), n.add("Mul", "x")))
    pair("Pad 1", 1, lambda n: n.add("Pad", paddings=[0, 0, 1, 0, 0, 0, 0, 2], value=0.5), lambda n: n.add("Pad", i(0, 0, 1, 0, 0, 0, 0, 2), np.float32(0.5)), 54)
    pair("Concat 1", 1, lambda n: n.add("Concat", "x"), lambda n: n.add("Concat", "x", axis=1), 48)
    pair("Split 1", 1, lambda n: n.add("Split", axis=2, split=[1, 1], outputs=2), lambda n: n.add("Split", i(1, 1), axis=2, outputs=2), 12)
    pair("Tile 1", 1, lambda n: n.add("Tile", np.float32([2]), np.float32([3])), lambda n: n.add("Tile", i(1, 1, 1, 2)), 48)
    pair("Upsample 1", 1, lambda n: n.add("Upsample", height_scale=2.0, width_scale=3.0), lambda n: n.add("Upsample", np.float32([1, 1, 2, 3])), 144, later=9)
    pair("GlobalLpPool 1", 1, lambda n: n.add("GlobalLpPool", p=3.0), lambda n: n.add("GlobalLpPool", p=3), 3)
    pair("LpPool 1", 1, lambda n: n.add("LpPool", p=2.0, kernel_shape=[2, 2]), lambda n: n.add("LpPool", p=2, kernel_shape=[2, 2]), 9)
    pair("TopK 1", 1, lambda n: n.add("TopK", k=2, axis=3, outputs=2), lambda n: n.add("TopK", i(2), axis=3, outputs=2), 12)
    pair("Gemm 6", 6, lambda n: (n.add("Flatten"), n.add("Gemm", full[0].reshape(24, 1), np.float32([0.25]), broadcast=1)),
         lambda n: (n.add("Flatten"), n.add("Gemm", full[0].reshape(24, 1), np.float32([0.25]))), 1)
    n = Net(6, 3, 2, 4)
    n.add("Add", channels.reshape(3, 1, 1))
    take("first-versions", "Add 6 without broadcast", n.dense(24).model(), (3, 2, 4), refused="without the attribute broadcast")


def fusions():
    """Convolution, ReLU and pooling, which are built in one go where there are two sides, and only there."""
    for sides in [1, 2, 3]:
        n = Net(13, 2, *[4] * sides)
        n.add("Conv", weight(3, 2, *[3] * sides), weight(3), kernel_shape=[3] * sides, pads=[1] * 2 * sides)
        n.add("Relu")
        n.add("MaxPool", kernel_shape=[2] * sides, strides=[2] * sides)
        take("fused", "%d sides" % sides, n.dense(3 * 2 ** sides).model(), (2, *[4] * sides))


def rename(m, old, new):
    m.graph.input[0].name = new
    for n in m.graph.node:
        for i, name in enumerate(n.input):
            if name == old:
                n.input[i] = new


def quantized():
    """Integer networks, whose gradients go straight through the rounding."""
    note = "straight-through"

    def scale(x):
        return np.float32(x)

    def ints(low, high, *shape, kind=np.int8):
        return rng.integers(low, high, shape).astype(kind)

    u8 = np.uint8
    n = Net(13, 2, 6, 6)  # as quantizers write it: a pair of nodes around each operator
    n.add("QuantizeLinear", scale(1 / 200), u8(3))
    n.add("DequantizeLinear", scale(1 / 200), u8(3))
    x = n.at
    n.add("DequantizeLinear", inputs=[n.const(ints(-99, 99, 3, 2, 3, 3)), n.const(scale([0.01, 0.02, 0.015])), n.const(np.zeros(3, np.int8))], axis=0)
    n.add("Conv", inputs=[x, n.at], pads=[1] * 4)
    n.add("Relu")
    n.add("QuantizeLinear", scale(1 / 60), u8(0))  # saturates
    n.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    n.add("DequantizeLinear", scale(1 / 60), u8(0))
    take("quantized", "pairs of nodes", n.dense(27).model(), (2, 6, 6), note=note)

    n = Net(13, 2, 4, 4)  # integers that are turned and joined before they are numbers again
    n.add("QuantizeLinear", scale(1 / 50), np.int8(-10))
    n.add("Transpose", perm=[0, 2, 3, 1])
    n.add("Reshape", np.array([0, -1], np.int64))
    n.add("Concat", inputs=[n.at, n.at], axis=1)
    n.add("DequantizeLinear", scale(1 / 50), np.int8(-10))
    take("quantized", "moved about", n.dense(64).model(), (2, 4, 4), note=note)

    n = Net(13, 3, 4)  # weights in floats, as training for quantization leaves them
    (flat,) = n.add("Flatten")
    n.add("QuantizeLinear", inputs=[n.const(weight(12, 5)), n.const(scale(0.01)), n.const(np.int8(0))])
    n.add("DequantizeLinear", scale(0.01), np.int8(0))
    n.add("MatMul", inputs=[flat, n.at])
    take("quantized", "weights in floats", n.dense(5).model(), (3, 4), note=note)

    n = Net(11, 3, 4)
    n.add("Flatten")
    n.add("Sub", np.float32(0.4))
    q, s, z = n.add("DynamicQuantizeLinear", outputs=3)
    y = n.add("MatMulInteger", inputs=[q, n.const(ints(-99, 99, 12, 5)), z])
    n.add("Cast", to=1)
    n.add("Mul", inputs=[n.at, n.add("Mul", inputs=[s, n.const(scale(0.02))])[0]])
    take("quantized", "dynamic product", n.dense(5).model(), (3, 4), note="change each other's logits")

    n = Net(13, 3, 4)  # more of them than stand in a graph
    n.add("Flatten")
    n.add("MatMul", inputs=[n.at, n.add("Cast", inputs=[n.const(weight(12, 700).astype(np.float16))], to=1)[0]])
    take("quantized", "large weights in half precision", n.dense(700).model(), (3, 4))

    n = Net(11, 2, 5, 5)
    q, s, z = n.add("DynamicQuantizeLinear", outputs=3)
    n.add("ConvInteger", inputs=[q, n.const(ints(100, 160, 4, 1, 3, 3, kind=u8)), z, n.const(u8(128))], group=2, strides=[2, 2], pads=[1] * 4)
    n.add("Cast", to=1)
    n.add("Mul", inputs=[n.at, s])
    n.add("Mul", scale(0.02))
    take("quantized", "dynamic convolution", n.dense(36).model(), (2, 5, 5), note=note)

    n = Net(13, 2, 6, 6)
    n.add("QuantizeLinear", scale(1 / 255), u8(0))
    n.add("QLinearConv", inputs=[n.at] + [n.const(c) for c in (scale(1 / 255), u8(0), ints(-99, 99, 3, 2, 3, 3), scale([0.01, 0.02, 0.015]), np.zeros(3, np.int8),
                                                              scale(1 / 40), u8(100), ints(-900, 900, 3, kind=np.int32))], pads=[1] * 4)
    n.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    n.add("DequantizeLinear", scale(1 / 40), u8(100))
    take("quantized", "integer convolution", n.dense(27).model(), (2, 6, 6), note=note)

    n = Net(10, 3, 4)
    n.add("Flatten")
    n.add("QuantizeLinear", scale(1 / 255), u8(0))
    n.add("QLinearMatMul", inputs=[n.at] + [n.const(c) for c in (scale(1 / 255), u8(0), ints(90, 160, 12, 5, kind=u8), scale(0.02), u8(128), scale(1 / 99), u8(80))])
    n.add("DequantizeLinear", scale(1 / 99), u8(80))
    take("quantized", "integer product", n.dense(5).model(), (3, 4), note=note)


class Convolutions(nn.Module):
    """What ONNX Runtime's quantizer and its fusions of convolutions have operators for."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 1)
        self.d, self.e, self.f = nn.Conv2d(12, 6, 3), nn.Linear(6, 5), nn.Linear(5, 4)

    def forward(self, x):
        a = torch.relu(self.a(x))
        b = nn.functional.leaky_relu(self.b(a) + a, 0.1)
        c = torch.sigmoid(self.c(b)) * b
        d = nn.functional.avg_pool2d(torch.cat([b, c], 1), 2, padding=1)
        e = nn.functional.leaky_relu(self.d(d), 0.2)
        e = nn.functional.hardtanh(self.c(e), -0.3, 0.4) + torch.softmax(e, 1)
        return self.f(torch.tanh(self.e(e.mean((2, 3), keepdim=True).flatten(1))))


class Tokens(nn.Module):
    """A block of a transformer, with each GELU and normalization that ONNX Runtime fuses."""

    def __init__(self):
        super().__init__()
        self.a, self.q, self.k, self.v = nn.Conv2d(3, 8, 2, 2), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.n, self.m, self.b, self.c, self.d = nn.LayerNorm(8), nn.LayerNorm(8), nn.Linear(8, 12), nn.Linear(12, 8), nn.Linear(8, 4)
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 8))

    def forward(self, x):
        x = self.n(self.a(x).flatten(2).transpose(1, 2))
        x = x + torch.softmax(self.q(x) @ self.k(x).transpose(1, 2) / 3, -1) @ self.v(x)
        x = self.m(x + self.c(nn.functional.gelu(self.b(x))))
        x = nn.functional.gelu(x, approximate="tanh") + x * torch.sigmoid(1.702 * x) + nn.functional.gelu(1.5 * x)
        x = x / torch.sqrt((x ** 2).mean(-1, keepdim=True) + 1e-5) * self.scale
        return self.d(x.mean(1))


class Calibration(quantization.CalibrationDataReader):
    def __init__(self, *shape):
        self.left = iter([{"x": np.random.default_rng(i).random((4, *shape), dtype=np.float32)} for i in range(4)])

    def get_next(self):
        return next(self.left, None)


def exported(net, opset, shape, path):
    torch.onnx.export(net.eval(), (torch.zeros(2, *shape),), path, input_names=["x"], output_names=["z"], opset_version=opset, dynamo=False,
                      dynamic_axes={"x": {0: "n"}, "z": {0: "n"}})
    return onnx.load(path)


def optimized(path, level, to):
    options = ort.SessionOptions()
    options.graph_optimization_level, options.optimized_model_filepath = getattr(ort.GraphOptimizationLevel, level), to
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return onnx.load(to)


def saved(folder):
    """Networks that ONNX Runtime optimized or quantized."""
    kind, shape, note = "ONNX Runtime's own", (3, 8, 8), "straight-through"
    torch.manual_seed(3)
    path, other = os.path.join(folder, "a.onnx"), os.path.join(folder, "b.onnx")
    conv, tokens = Convolutions(), Tokens()
    for net, name, opset in [(conv, "convolutions", 13), (tokens, "tokens", 12), (tokens, "tokens", 17)]:
        plain = exported(net, opset, shape, path)
        for level in ["ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED"]:
            take(kind, "%s, opset %d, %s" % (name, opset, level), optimized(path, level, other), shape, plain=plain)
    exported(conv, 13, shape, path)
    take(kind, "convolutions, ORT_ENABLE_ALL", optimized(path, "ORT_ENABLE_ALL", other), shape, refused="save the network with ORT_ENABLE_EXTENDED at most")
    for net, name in [(conv, "convolutions"), (tokens, "tokens")]:
        exported(net, 13, shape, path)
        for types in [quantization.QuantType.QUInt8, quantization.QuantType.QInt8]:
            quantization.quantize_static(path, other, Calibration(*shape), quant_format=quantization.QuantFormat.QOperator, activation_type=types)
            take(kind, "%s quantized to %s" % (name, types), onnx.load(other), shape, note=note)


def own():
    """Single operators that only ONNX Runtime has."""
    kind, shape, u8, i8, f = "ONNX Runtime's own", (3, 4, 4), np.uint8, np.int8, np.float32

    def case(name, n, size, **more):
        m = n.dense(size).model()
        m.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        take(kind, name, m, n.shape, **more)

    def add(n, op, *more, **attributes):
        return n.add(op, *more, domain="com.microsoft", **attributes)

    def quantized(name, op, size, operands, scale, zero, version=13, first=(), first_result=False, refused=None, **attributes):
        n, inputs = Net(version, *shape), []
        for i, (by, shift, s, z) in enumerate(operands):
            n.at = "x"
            n.add("Sub", f(shift))
            n.add("QuantizeLinear", inputs=[n.add("Mul", f(by))[0], n.const(f(s)), n.const(z)])
            inputs += [n.at, n.const(f(s)), n.const(z)]
        result = [n.const(f(scale)), n.const(zero)]
        inputs = [n.const(c) for c in first] + (result + inputs if first_result else inputs + result)
        n.add(op, inputs=inputs, domain="com.microsoft", **attributes)
        n.add("DequantizeLinear", inputs=[n.at, *result])
        case(name, n, size, note="straight-through", refused=refused)

    one, two = (1.3, 0.4, 0.00717, u8(111)), (0.9, 0.6, 0.00431, u8(141))
    quantized("QLinearAdd", "QLinearAdd", 48, [one, two], 0.00809, u8(127))  # saturates
    quantized("QLinearAdd of int8", "QLinearAdd", 48, [(1.3, 0.4, 0.00717, i8(-3)), (0.9, 0.6, 0.00431, i8(7))], 0.0131, i8(-5))
    quantized("QLinearMul", "QLinearMul", 48, [one, two], 0.00313, u8(77))
    quantized("QLinearConcat", "QLinearConcat", 96, [one, two], 0.00619, u8(93), first_result=True, axis=1)
    quantized("QLinearConcat along the last axis", "QLinearConcat", 144, [one, two, one], 0.0091, u8(130), first_result=True, axis=-1)
    quantized("QLinearWhere", "QLinearWhere", 48, [one, two], 0.00619, u8(93), first=[rng.random((3, 4, 4)) < 0.5])
    quantized("QLinearLeakyRelu", "QLinearLeakyRelu", 48, [one], 0.00619, u8(23), alpha=0.3)
    quantized("QLinearLeakyRelu of int8", "QLinearLeakyRelu", 48, [(1.3, 0.4, 0.00717, i8(-3))], 0.00619, i8(-60))
    quantized("QLinearSigmoid", "QLinearSigmoid", 48, [(9, 0.4, 0.0517, u8(111))], 1 / 256, u8(0))
    for opset, axis in [(11, 1), (13, 1), (13, -1)]:
        quantized("QLinearSoftmax %d along %d" % (opset, axis), "QLinearSoftmax", 48, [(9, 0.4, 0.0517, u8(111))], 1 / 256, u8(0), version=opset,
                  opset=opset, axis=axis)
    quantized("QLinearSoftmax of int8", "QLinearSoftmax", 48, [(9, 0.4, 0.0517, i8(11))], 1 / 256, i8(-128), opset=13)
    quantized("QLinearGlobalAveragePool", "QLinearGlobalAveragePool", 3, [one], 0.00191, u8(51), channels_last=0)
    quantized("QLinearGlobalAveragePool, channels last", "QLinearGlobalAveragePool", 4, [one], 0.00191, u8(51), channels_last=1, refused="with channels_last")
    quantized("QLinearSoftmax of another opset", "QLinearSoftmax", 48, [one], 1 / 256, u8(0), opset=11, refused="Softmax means something else there")
    quantized("QLinearAveragePool", "QLinearAveragePool", 27, [one], 0.00619, u8(93), kernel_shape=[2, 2], pads=[1] * 4, strides=[2, 2])
    quantized("QLinearAveragePool, borders counted", "QLinearAveragePool", 27, [one], 0.00619, u8(93), kernel_shape=[2, 2], pads=[1] * 4, strides=[2, 2],
              count_include_pad=1)

    for name, b, scale, zero, bias, result, attributes in [
            ("QGemm", (48, 5), f(0.011), i8(0), (5,), (0.031, u8(101)), {}),
            ("QGemm with turned weights, by columns", (5, 48), f([0.01, 0.011, 0.012, 0.008, 0.013]), np.zeros(5, i8), (5,), (0.0313, u8(101)), dict(transB=1)),
            ("QGemm to floats", (48, 5), f(0.011), i8(3), (5,), None, dict(alpha=0.7)),
            ("QGemm without bias", (5, 48), f(0.011), i8(3), None, (0.0313, u8(101)), dict(alpha=0.7, transB=1))]:
        n = Net(13, *shape)
        n.add("Flatten")
        n.add("QuantizeLinear", f(0.00391), u8(9))
        inputs = [n.const(f(0.00391)), n.const(u8(9)), n.const(rng.integers(-99, 99, b).astype(i8)), n.const(scale), n.const(zero)]
        inputs.append(n.const(rng.integers(-900, 900, bias).astype(np.int32)) if bias else "")
        inputs += [n.const(f(result[0])), n.const(result[1])] if result else []
        n.add("QGemm", inputs=[n.at, *inputs], domain="com.microsoft", **attributes)
        if result:
            n.add("DequantizeLinear", f(result[0]), result[1])
        case(name, n, 5, note="straight-through")

    n = Net(13, *shape)  # integers with a border, and larger
    n.add("QuantizeLinear", f(0.00391), u8(9))
    n.add("Pad", np.array([0, 0, 1, 0, 0, 0, 0, 1], np.int64), u8(99))
    n.add("Resize", "", f([1, 1, 2, 2]), mode="nearest")
    add(n, "QLinearLeakyRelu", f(0.00391), u8(9), f(0.0031), u8(3))
    n.add("DequantizeLinear", f(0.0031), u8(3))
    case("Pad and Resize of integers", n, 300, note="straight-through")

    n = Net(13, *shape)  # 16 bits, which the format had later
    q = [n.const(f(0.000131)), n.const(np.uint16(31))]
    for op in ["QuantizeLinear", "DequantizeLinear"]:
        n.add(op, inputs=[n.at, *q], domain="com.microsoft")
    x = n.at
    kernel = [n.const(rng.integers(-9999, 9999, (3, 3, 3, 3)).astype(np.int16)), n.const(f([1e-4, 2e-4, 1.5e-4])), n.const(np.zeros(3, np.int16))]
    n.add("Conv", inputs=[x, n.add("DequantizeLinear", inputs=kernel, domain="com.microsoft", axis=0)[0]], pads=[1] * 4)
    case("QuantizeLinear and DequantizeLinear of 16 bits", n, 48, note="straight-through")

    columns = f([0.01, 0.011, 0.012, 0.008, 0.013])
    for bias in [False, True]:
        n = Net(13, *shape)
        n.add("Flatten")
        more = [rng.integers(0, 255, (48, 5)).astype(u8), columns, np.full(5, 128, u8)] if bias else [rng.integers(-99, 99, (48, 5)).astype(i8), f(0.011)]
        add(n, "DynamicQuantizeMatMul", *more, *([weight(5)] if bias else []))
        case("DynamicQuantizeMatMul" + " by columns, with bias" * bias, n, 5, note="change each other's logits")
        n = Net(13, *shape)
        n.add("Flatten")
        n.add("QuantizeLinear", f(0.00391), u8(9))
        add(n, "MatMulIntegerToFloat", more[0], f(0.00391), more[1], u8(9), *([more[2], weight(5)] if bias else []))
        case("MatMulIntegerToFloat" + " by columns, with bias" * bias, n, 5, note="straight-through")

    def floats(name, op, size, *more, then=None, opset=13, refused=None, **attributes):
        """A case, and beside it the network in standard operators, then, which PyTorch runs."""
        nets = []
        for build in [lambda n: add(n, op, *[n.const(m) if isinstance(m, np.ndarray) else m for m in more], **attributes), then]:
            state = rng.bit_generator.state
            n = Net(opset, *shape)
            n.add("Sub", f(0.5))
            if build:
                build(n)
            nets.append(n)
            n.dense(size)
            if build is not then:
                rng.bit_generator.state = state
        m = nets[0].model()
        m.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        take(kind, name, m, shape, plain=nets[1].model(), refused=refused)

    kernel, bias = weight(3, 3, 3, 3), weight(3)
    for name, parameters, then in [("Relu", [], lambda n: n.add("Relu")), ("Sigmoid", [], lambda n: n.add("Sigmoid")), ("Tanh", [], lambda n: n.add("Tanh")),
                                   ("LeakyRelu", [0.3], lambda n: n.add("LeakyRelu", alpha=0.3)), ("Clip", [-0.1, 0.2], lambda n: n.add("Clip", f(-0.1), f(0.2))),
                                   ("HardSigmoid", [0.3, 0.4], lambda n: n.add("HardSigmoid", alpha=0.3, beta=0.4))]:
        more = dict(activation_params=parameters) if parameters else {}
        floats("FusedConv with " + name, "FusedConv", 48, kernel, bias, activation=name, pads=[1] * 4,
               then=lambda n: (n.add("Conv", kernel, bias, pads=[1] * 4), then(n)), **more)
    floats("FusedConv with a sum", "FusedConv", 48, kernel, bias, "x", activation="Relu", pads=[1] * 4,
           then=lambda n: (n.add("Conv", kernel, bias, pads=[1] * 4), n.add("Add", "x"), n.add("Relu")))
    floats("FusedConv without a parameter", "FusedConv", 48, kernel, bias, activation="LeakyRelu", pads=[1] * 4, refused="without its parameter alpha")
    floats("FusedConv with another activation", "FusedConv", 48, kernel, bias, activation="Mish", pads=[1] * 4, refused='activation "Mish" is not supported')

    dense = [weight(5, 48), weight(5)]
    for name, parameters in [("Elu", dict(alpha=0.7)), ("HardSigmoid", dict(alpha=0.3, beta=0.4)), ("LeakyRelu", dict(alpha=0.3)), ("Selu", dict(alpha=1.5, gamma=1.1)),
                             ("Sigmoid", {}), ("Softplus", {}), ("Softsign", {}), ("Tanh", {}), ("ThresholdedRelu", dict(alpha=0.1))]:
        nets = [Net(13, 48), Net(13, 48)]
        nets[0].add("FusedGemm", *dense, domain="com.microsoft", transB=1, alpha=1.2, beta=0.5, activation=name,
                    **{"activation_" + key: value for key, value in parameters.items()})
        nets[1].add("Gemm", *dense, transB=1, alpha=1.2, beta=0.5)
        nets[1].add(name, **parameters)
        last = weight(5, 3)
        for n in nets:
            n.add("MatMul", last)
        m = nets[0].model()
        m.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        take(kind, "FusedGemm with " + name, m, (48,), plain=nets[1].model())

    matrix = weight(4, 4)
    floats("FusedMatMul", "FusedMatMul", 48, matrix, alpha=0.5, then=lambda n: (n.add("MatMul", matrix), n.add("Mul", f(0.5))))
    floats("FusedMatMul of turned matrices", "FusedMatMul", 48, "x", alpha=0.5, transA=1, transB=1,
           then=lambda n: (n.add("MatMul", inputs=[n.add("Transpose", perm=[0, 1, 3, 2])[0], n.add("Transpose", inputs=["x"], perm=[0, 1, 3, 2])[0]]),
                           n.add("Mul", f(0.5))))
    floats("FusedMatMul of turned batches", "FusedMatMul", 48, "x", transBatchA=1, refused="transBatchA and transBatchB are not supported")
    floats("Gelu", "Gelu", 48, then=lambda n: n.add("Gelu"), opset=20)
    floats("BiasGelu", "BiasGelu", 48, bias[:1].repeat(4), then=lambda n: (n.add("Add", bias[:1].repeat(4)), n.add("Gelu")), opset=20)
    floats("FastGelu", "FastGelu", 48, matrix[0], then=lambda n: (n.add("Add", matrix[0]), n.add("Gelu", approximate="tanh")), opset=20)
    floats("QuickGelu", "QuickGelu", 48, alpha=1.5, then=lambda n: (n.add("Mul", f(1.5)), n.add("Sigmoid"), n.add("Mul", n.nodes[0].output[0])))
    floats("an operator of others", "GroupNorm", 48, bias, bias, groups=3, refused="operator com.microsoft.GroupNorm (GroupNorm node")
    for op, scales, standard in [("SkipLayerNormalization", [matrix[1] + 1, matrix[2]], "LayerNormalization"),
                                 ("SkipSimplifiedLayerNormalization", [matrix[1] + 1], "RMSNormalization")]:
        for more in [[], [matrix[3]]]:
            n, plain = Net(23, 4, 4), Net(23, 4, 4)
            for m in [n, plain]:
                m.add("Tanh")
            made = n.add(op, "x", *scales, *more, outputs=4, epsilon=0.01, domain="com.microsoft")
            if standard == "RMSNormalization":
                n.nodes[-1].output[1] = n.nodes[-1].output[2] = ""
            n.add("Add", made[3])
            plain.add("Add", "x")
            if more:
                plain.add("Add", more[0])
            total = plain.at
            wanted = plain.add(standard, *scales, outputs=3 if standard == "LayerNormalization" else 1, epsilon=0.01)
            plain.add("Add", total)
            if standard == "LayerNormalization":  # which tells the mean and the deviation too
                for m, (_, mean, deviation, *_) in [(n, made), (plain, wanted)]:
                    m.add("Sub", mean)
                    m.add("Mul", deviation)
            last = weight(16, 3)
            for m in [n, plain]:
                m.add("Flatten")
                m.add("MatMul", last)
            m = n.model()
            m.opset_import.append(helper.make_opsetid("com.microsoft", 1))
            take(kind, op + " with bias" * bool(more), m, (4, 4), plain=plain.model())


def attentions():
    """Attention of ONNX Runtime's own: images are [times, values]."""
    kind, shape, f, u8 = "ONNX Runtime's own", (5, 6), np.float32, np.uint8

    def case(name, op, inputs, size=30, build=None, **attributes):
        refused, note = attributes.pop("refused", None), attributes.pop("note", "")
        n = Net(13, *shape)
        n.add("Mul", f(3))
        first = build(n) if build else [n.at]
        n.add(op, inputs=first + [n.const(i) if isinstance(i, np.ndarray) else i for i in inputs], domain="com.microsoft", **attributes)
        m = n.dense(size).model()
        m.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        take(kind, name, m, shape, refused=refused, note=note)

    w, b, added = weight(6, 18), weight(18), weight(1, 2, 5, 5)
    case("Attention", "Attention", [w, b], num_heads=2)
    case("Attention forward only, with a scale", "Attention", [w, b], num_heads=3, unidirectional=1, scale=0.7)
    case("Attention with a bias of scores", "Attention", [w, b, "", "", added], num_heads=2)
    case("Attention with narrow values", "Attention", [w[:, :14], b[:14]], 10, num_heads=2, qkv_hidden_sizes=[6, 6, 2])
    case("Attention with a mask", "Attention", [w, b, np.ones((4, 5), np.int32)], num_heads=2, refused="with the input mask_index is not supported")

    def parts(n):
        x = n.at
        return [n.add("MatMul", inputs=[x, n.const(weight(6, width))])[0] for width in (6, 6, 4)]
    case("MultiHeadAttention", "MultiHeadAttention", [], 20, parts, num_heads=2)
    case("MultiHeadAttention with biases", "MultiHeadAttention", [b, "", added], 30, lambda n: [n.at] * 3, num_heads=2)
    case("MultiHeadAttention, packed", "MultiHeadAttention", [], 30, lambda n: n.add("Reshape", np.array([0, 5, 1, 3, 2], np.int64)), num_heads=1,
         refused="packed into its queries is not supported")

    def integers(n):
        return [n.add("QuantizeLinear", f(0.0129), u8(5))[0]]
    for name, scale, zero in [("QAttention", f(0.013), np.int8(0)), ("QAttention by columns", rng.random(18).astype(f) / 50 + f(0.005), None)]:
        more = [rng.integers(-99, 99, (6, 18)).astype(np.int8), b, np.array(f(0.0129)), np.array(scale), "", np.array(u8(5))]
        case(name, "QAttention", more + ([] if zero is None else [np.array(zero)]), 30, integers, num_heads=2, note="straight-through")


def microsoft():
    logging.disable(logging.WARNING)  # the quantizer tells of every tensor that it leaves alone
    with tempfile.TemporaryDirectory() as folder:
        saved(folder)
    own()
    attentions()


class Ensemble:
    """Random trees over features that are 0, 1, 2 or 3, as lists for the operators of numbered nodes, and as sets."""

    MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]

    def __init__(self, draw, targets, trees=5, depth=4, votes=None, low=-1.0, modes=MODES):
        self.draw, self.low, self.modes = draw, low, modes
        self.nodes, self.votes = [], []  # nodes: tree, node, feature, threshold, mode, true, false
        self.inner, self.leaves, self.roots = [], [], []  # inner: feature, threshold, mode, (true, is leaf), (false, is leaf)
        for tree in range(trees):
            self.tree, self.made, self.columns = 3 * tree + 1, 0, range(targets) if votes is None else votes(tree)
            at, leaf = self.grow(depth)[1]
            self.roots.append(at)

    def grow(self, depth):
        node, self.made = self.made, self.made + 1
        row = len(self.nodes)
        self.nodes.append(None)
        if self.made > 1 and (depth == 0 or self.draw.random() < 0.2):
            self.nodes[row] = (self.tree, node, 0, 0.0, "LEAF", 0, 0)
            weights = [float(np.float32(self.draw.uniform(self.low, 1))) for _ in self.columns]
            self.votes += [(self.tree, node, c, w) for c, w in zip(self.columns, weights)]
            self.leaves.append((self.columns[0], weights[0]))
            return node, (len(self.leaves) - 1, 1)
        feature, threshold, mode = int(self.draw.integers(5)), float(self.draw.integers(4)), str(self.draw.choice(self.modes))
        at = len(self.inner)
        self.inner.append(None)
        (yes, yes_at), (no, no_at) = self.grow(depth - 1), self.grow(depth - 1)
        self.nodes[row] = (self.tree, node, feature, threshold, mode, yes, no)
        self.inner[at] = (feature, threshold, mode, yes_at, no_at)
        return node, (at, 0)

    def numbered(self, votes, wide=False):
        names = ["nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_modes", "nodes_truenodeids", "nodes_falsenodeids"]
        lists = dict(zip(names, map(list, zip(*self.nodes))))
        lists.update(zip([votes + "_treeids", votes + "_nodeids", ("class" if votes == "class" else "target") + "_ids", votes + "_weights"],
                         map(list, zip(*self.votes))))
        if wide:
            for name in ["nodes_values", votes + "_weights"]:
                lists[name + "_as_tensor"] = numpy_helper.from_array(np.array(lists.pop(name)) + 1e-9)
        return lists

    def sets(self, kind=np.float32):
        feature, threshold, mode, yes, no = zip(*self.inner)
        array = lambda values, kind=kind: numpy_helper.from_array(np.array(values, kind))
        members = [v for m in mode if m == "BRANCH_MEMBER" for v in sorted(self.draw.choice(4, 2, replace=False)) + [np.nan]]
        return dict(nodes_featureids=feature, nodes_splits=array(threshold), nodes_modes=array([(self.MODES + ["BRANCH_MEMBER"]).index(m) for m in mode], np.uint8),
                    nodes_truenodeids=[a for a, _ in yes], nodes_trueleafs=[b for _, b in yes], nodes_falsenodeids=[a for a, _ in no],
                    nodes_falseleafs=[b for _, b in no], leaf_targetids=[c for c, _ in self.leaves], leaf_weights=array([w for _, w in self.leaves]),
                    tree_roots=self.roots, **({"membership_values": array(members)} if members else {}))


def trees():
    from skl2onnx import to_onnx
    from sklearn import ensemble, tree
    make = helper.make_attribute  # skl2onnx gives lists of bools, which onnx takes no more
    helper.make_attribute = lambda key, v, *more, **named: make(key, [int(i) if isinstance(i, (bool, np.bool_)) else i for i in v] if isinstance(v, list) else v,
                                                                *more, **named)
    draw = np.random.default_rng(11)
    note = "decides by trees"

    def case(name, op, version, classes, attributes, refused=None, double=False):
        n = Net(17, 5)
        n.add("Mul", np.float32(4))
        n.add("Floor")
        if double:
            n.add("Cast", to=TensorProto.DOUBLE)
        classifies = op == "TreeEnsembleClassifier"
        made = n.add(op, outputs=2 if classifies else 1, domain="ai.onnx.ml", **attributes)
        kind = TensorProto.DOUBLE if op == "TreeEnsemble" and double else TensorProto.FLOAT
        m = n.model([value(made[-1], ["N", classes], kind)])
        m.opset_import.append(helper.make_opsetid("ai.onnx.ml", version))
        take("trees", name, m, (5,), refused=refused, note=note, gradient=False, n=40)

    for post in ["NONE", "LOGISTIC", "SOFTMAX"]:
        for base in [{}, {"base_values": [0.25, -0.5, 0.125]}]:
            case("classes, %s%s" % (post, ", base values" if base else ""), "TreeEnsembleClassifier", 1, 3,
                 dict(Ensemble(draw, 3).numbered("class"), classlabels_int64s=[0, 1, 2], post_transform=post, **base))
    for low in [-1.0, 0.0]:
        for post in ["NONE", "LOGISTIC"]:
            for base in [{}, {"base_values": [0.25]}]:
                case("two classes, one row, %s from %g%s" % (post, low, ", base value" if base else ""), "TreeEnsembleClassifier", 3, 2,
                     dict(Ensemble(draw, 1, low=low).numbered("class"), classlabels_strings=["a", "b"], post_transform=post, **base))
    for votes in [[1], [0, 1]]:
        for post in ["NONE", "LOGISTIC", "SOFTMAX"]:
            case("two classes, votes for %s, %s" % (votes, post), "TreeEnsembleClassifier", 3, 2,
                 dict(Ensemble(draw, 2, votes=lambda _: votes).numbered("class"), classlabels_int64s=[0, 1], post_transform=post))
    for aggregate in ["SUM", "AVERAGE", "MIN", "MAX"]:
        case("targets, " + aggregate, "TreeEnsembleRegressor", 3, 3,
             dict(Ensemble(draw, 3).numbered("target"), n_targets=3, aggregate_function=aggregate, base_values=[0.5, 0.25, -1.0]))
        case("a tree a target, " + aggregate, "TreeEnsembleRegressor", 1, 3,
             dict(Ensemble(draw, 3, votes=lambda t: [t % 2]).numbered("target"), n_targets=3, aggregate_function=aggregate))
        case("a set, " + aggregate, "TreeEnsemble", 5, 3,
             dict(Ensemble(draw, 3, votes=lambda t: [t % 3]).sets(), n_targets=3, aggregate_function=["AVERAGE", "SUM", "MIN", "MAX"].index(aggregate)))
    for post in range(3):
        case("a set with members, post_transform %d" % post, "TreeEnsemble", 5, 3,
             dict(Ensemble(draw, 3, votes=lambda t: [t % 3], modes=Ensemble.MODES + ["BRANCH_MEMBER"] * 3).sets(), n_targets=3, post_transform=post),
             refused="ONNX Runtime and the format differ" if post else None)  # of 1 and 2 each has the other
    case("classes in double precision", "TreeEnsembleClassifier", 3, 3, dict(Ensemble(draw, 3).numbered("class", True), classlabels_int64s=[0, 1, 2]), double=True)
    case("targets in double precision", "TreeEnsembleRegressor", 3, 3, dict(Ensemble(draw, 3).numbered("target", True), n_targets=3), double=True)
    case("a set in double precision", "TreeEnsemble", 5, 3, dict(Ensemble(draw, 3, votes=lambda t: [t % 3]).sets(np.float64), n_targets=3), double=True)
    case("doubles of floats", "TreeEnsembleRegressor", 3, 3, dict(Ensemble(draw, 3).numbered("target", True), n_targets=3), refused="in double precision of an input")
    for post in ["PROBIT", "SOFTMAX_ZERO"]:
        case(post, "TreeEnsembleClassifier", 3, 3, dict(Ensemble(draw, 3).numbered("class"), classlabels_int64s=[0, 1, 2], post_transform=post),
             refused='post_transform "%s" is not supported' % post)
    case("a softmax of one row", "TreeEnsembleClassifier", 3, 2,
         dict(Ensemble(draw, 1).numbered("class"), classlabels_int64s=[0, 1], post_transform="SOFTMAX"), refused="ONNX Runtime leaves it out")
    case("base values of two classes", "TreeEnsembleClassifier", 3, 2,
         dict(Ensemble(draw, 2).numbered("class"), classlabels_int64s=[0, 1], base_values=[0.5, 0.25]), refused="2 base values for two classes")

    for replaced, own in [(0.0, [0.5, 1.5, 2.5, 3.5, 4.5]), (1.0, [0.25]), (float("nan"), [0.25])]:
        n = Net(17, 5)
        n.add("Mul", np.float32(4))
        n.add("Floor")
        n.add("Imputer", domain="ai.onnx.ml", imputed_value_floats=own, replaced_value_float=replaced)
        m = n.dense(5).model()
        m.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
        take("missing", "Imputer of %g" % replaced, m, (5,), gradient=False)

    x = draw.random((120, 5)).astype(np.float32)
    x[:, 3] = np.round(4 * x[:, 3]) / 4
    y3, y2 = np.argmax(x[:, :3], 1), (x[:, 0] > x[:, 1]).astype(int)
    for name, model in [("DecisionTreeClassifier", tree.DecisionTreeClassifier(random_state=1)), ("RandomForestClassifier", ensemble.RandomForestClassifier(8, random_state=1)),
                        ("ExtraTreesClassifier", ensemble.ExtraTreesClassifier(8, random_state=1)),
                        ("GradientBoostingClassifier", ensemble.GradientBoostingClassifier(n_estimators=6, random_state=1)),
                        ("HistGradientBoostingClassifier", ensemble.HistGradientBoostingClassifier(max_iter=6, min_samples_leaf=4))]:
        for classes, labels in [("two", y2), ("three", y3), ("words", np.array(["a", "b", "c"])[y3])]:
            model.fit(x, labels)
            plain = to_onnx(model, x[:1], options={"zipmap": False}, target_opset=17)
            rename(plain, plain.graph.input[0].name, "x")
            for zipmap in [True, False]:
                m = to_onnx(model, x[:1], options={"zipmap": zipmap}, target_opset=17)
                rename(m, m.graph.input[0].name, "x")
                take("scikit-learn", "%s, %s, zipmap %s" % (name, classes, zipmap), m, (5,), logits="probabilities", note=note, gradient=False, reference=plain, n=20)


for make in [clips, softmaxes, splits, training, negatives, slices, pads, gradients, attention, outputs, sklearn, first, fusions, standardized, quantized, microsoft, trees]:
    make()
with open(os.path.join(HERE, "cases.json.gz"), "wb") as f, gzip.GzipFile(filename="", mode="wb", fileobj=f, mtime=0) as z:
    z.write(json.dumps(cases, separators=(",", ":")).encode())
print(len(cases), "cases")
