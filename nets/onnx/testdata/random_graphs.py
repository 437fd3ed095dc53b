"""Draws random small classifiers as ONNX files, with ONNX Runtime's logits and the interpreter's gradients.

Needs onnx, onnxruntime, torch and numpy; the Go tests read random_graphs.json.gz and need none of them.

    python3 nets/onnx/testdata/random_graphs.py serve               a seed a line in, a JSON line out
    python3 nets/onnx/testdata/random_graphs.py write 150 FILE.json.gz   a set that holds every operator in every version
    python3 nets/onnx/testdata/random_graphs.py check 2000 [FIRST]  how often interpreter and ONNX Runtime differ, and what is redrawn
    python3 nets/onnx/testdata/random_graphs.py coverage 2000       which operator was drawn in which version

Seed s draws the operator and version TARGETS[s % len(TARGETS)] first and others at random: any len(TARGETS) seeds in a
row cover all of them. Every attribute is drawn from its legal range; what has a default is left out at times; each
opset's own form of axes, widths and scales is used. No operator mixes the images of a batch, except on constants.

A graph is redrawn where a value is not finite or large, where float32 and float64 differ by more than rounding, or where
a change of the image in its last digits changes the gradient: there no two right implementations agree.
"""
import base64
import collections
import gzip
import json
import math
import random
import re
import sys

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, defs, helper, numpy_helper

import onnx_torch

OLDEST, NEWEST = 7, 28  # the newest opset that ONNX Runtime runs
LARGEST = 1500  # elements of a value
torch.set_num_threads(1)
onnxruntime.set_default_logger_severity(4)


class Redraw(Exception):
    """This draw is no good graph."""


def since(op, opset):
    """The version of an operator that an opset has, or None."""
    try:
        return defs.get_schema(op, opset, "").since_version
    except Exception:
        return None


def usable(op, opset):
    try:
        s = defs.get_schema(op, opset, "")
    except Exception:
        return False
    return not s.deprecated or (op, s.since_version) == ("GroupNormalization", 18)  # this one works, as far as anyone has it


class Graph:
    """A graph under construction. Every value is known, in float64, as soon as its operator is added."""

    def __init__(self, r, opset):
        self.r, self.np, self.opset = r, np.random.default_rng(r.getrandbits(32)), opset
        self.nodes, self.initializers, self.values, self.ops, self.names = [], [], {}, [], 0
        self.words = []  # attributes worth naming
        self.first = 1  # the first axis that operators may mix: the batch only of constants
        self.fixed = r.choice([0] * 5 + [1, 4])  # a batch size that the file fixes
        self.batch = self.fixed or 3

    # Values.

    def name(self, hint="v"):
        self.names += 1
        return "%s%d" % (hint, self.names)

    def shape(self, x):
        return list(self.values[x].shape)

    def rank(self, x):
        return self.values[x].dim()

    def chance(self, p=0.5):
        return self.r.random() < p

    def node(self, op, inputs, outputs=1, wanted=None, **attributes):
        """Adds an operator; the name or names of its outputs. wanted: which outputs are used, others are left out or empty."""
        if not usable(op, self.opset):
            raise Redraw("%s is not in opset" % op)
        inputs = list(inputs)
        while inputs and inputs[-1] == "":
            if self.chance(0.2) and len(inputs) <= since_inputs(op, self.opset):
                break  # written out, though empty
            inputs.pop()
        names = [self.name(op[0].lower()) for _ in range(outputs)]
        n = helper.make_node(op, inputs, names, **{k: v for k, v in attributes.items() if v is not None})
        onnx_torch.DOUBTS.clear()
        with torch.no_grad():
            try:
                got = onnx_torch.node(n, [self.values[i] if i else None for i in inputs], self.opset, torch.float64)
            except (RuntimeError, IndexError, ValueError, AssertionError) as e:
                raise Redraw("interpreter: %s: %s" % (op, str(e).split("\n")[0]))
        if onnx_torch.DOUBTS:
            raise Redraw("rounding decides: " + op)
        for name, value in zip(names, got):
            if value.is_floating_point() and not torch.isfinite(value).all() and op not in ("Constant", "Cast", "Log", "ConstantOfShape"):
                raise Redraw("not finite: " + op)
            if value.numel() > LARGEST or value.numel() == 0 and op != "Constant":
                raise Redraw("size: " + op)
            self.values[name] = value
        self.nodes.append(n)
        self.ops.append("%s-%d" % (op, since(op, self.opset)))
        return names[0] if outputs == 1 else names

    def defaults(self, **pairs):
        """Attributes as (value, default): one that has its default is left out at times."""
        return {k: v for k, (v, default) in pairs.items() if v != default or self.chance(0.4)}

    # Constants, in the forms in which files keep them.

    def const(self, array, plain=False):
        array = np.asarray(array)
        name, t = self.name("c"), None
        kind = "initializer" if plain else self.r.choice(["initializer"] * 4 + ["typed", "node", "list", "half"])
        if kind == "half" and array.dtype == np.float32 and np.all(array == array.astype(np.float16)):
            return self.node("Cast", [self.const(array.astype(np.float16), plain=True)], to=TensorProto.FLOAT)
        if kind in ("node", "list") and (self.opset >= 9 or array.dtype == np.float32):
            if kind == "list" and self.opset >= 12 and array.ndim <= 1 and array.dtype in (np.float32, np.int64) and array.size:
                form = ("value_float" if array.dtype == np.float32 else "value_int") + ("s" if array.ndim else "")
                return self.node("Constant", [], **{form: array.tolist()})
            return self.node("Constant", [], value=numpy_helper.from_array(array, self.name("t")))
        if kind == "typed" and array.dtype in (np.float32, np.int64, np.int32):
            t = helper.make_tensor(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape, array.reshape(-1).tolist())
        self.initializers.append(numpy_helper.from_array(array, name) if t is None else t)
        self.values[name] = onnx_torch.tensor(self.initializers[-1], torch.float64)
        return name

    def weight(self, *shape, scale=1.0, low=None):
        """Random weights, of few digits to keep files small."""
        w = self.np.normal(0, scale, shape) if low is None else self.np.uniform(low, low + scale, shape)
        w = np.round(w * 64) / 64
        return self.const((w + (w == 0) / 64).astype(np.float32))

    def ints(self, values):
        return self.const(np.array(values, np.int64))

    def scalar(self, v, dtype=np.float32):
        return self.const(np.array(v, dtype))

    # Shape arithmetic, as exporters write it.

    def dim(self, x, axis):
        """A tensor [1] that holds a dimension of x."""
        rank = self.rank(x)
        form = self.r.randrange(4)
        if form == 0 and self.opset >= 15:
            axis2 = axis - rank if self.chance(0.3) else axis
            return self.node("Shape", [x], start=axis2, **({} if axis == rank - 1 and self.chance() else {"end": axis + 1}))
        shape = self.node("Shape", [x])
        if form == 1:
            return self.slice(shape, [axis], [axis + 1], [0])
        if form == 2:
            return self.node("Gather", [shape, self.ints([axis])], **self.defaults(axis=(0, 0)))
        at = axis - rank if self.chance(0.2) and self.opset >= 11 else axis
        d = self.node("Gather", [shape, self.scalar(at, np.int64)], **self.defaults(axis=(0, 0)))
        if self.chance(0.2):
            d = self.node("Cast", [self.node("Cast", [d], to=TensorProto.INT32)], to=TensorProto.INT64)
        return self.unsqueeze(d, [0])

    def shape_of(self, x, want):
        """A tensor that holds a shape whose first dimension is x's batch."""
        want, have = list(want), self.shape(x)
        if want == have and self.chance(0.4):
            return self.node("Shape", [x])
        parts = [self.dim(x, 0)]
        for d in want[1:]:
            matches = [i for i in range(1, len(have)) if have[i] == d]
            if matches and self.chance(0.3):
                parts.append(self.dim(x, self.r.choice(matches)))
            else:
                parts.append(self.ints([d]))
        if self.chance(0.5) and len(parts) > 1 and all(self.is_const(p) for p in parts[1:]):
            parts = [parts[0], self.ints(want[1:])]
        return self.node("Concat", parts, axis=-1 if self.chance(0.2) and self.opset >= 11 else 0)

    def is_const(self, name):
        return any(t.name == name for t in self.initializers) or any(n.op_type == "Constant" and name in n.output for n in self.nodes)

    # Small operators that others use.

    def axes(self, op, x, axes, first=13):
        """Inputs and attributes that name axes: an attribute before an opset, an input after."""
        if self.opset >= first:
            return [x, self.ints(axes)], {}
        return [x], {"axes": list(axes)}

    def unsqueeze(self, x, axes):
        rank = self.rank(x) + len(axes)
        if self.opset >= 11:
            axes = [a - rank if self.chance(0.25) else a for a in axes]
        inputs, attributes = self.axes("Unsqueeze", x, axes)
        return self.node("Unsqueeze", inputs, **attributes)

    def squeeze(self, x, axes):
        if self.opset >= 11:
            axes = [a - self.rank(x) if self.chance(0.25) else a for a in axes]
        inputs, attributes = self.axes("Squeeze", x, axes)
        return self.node("Squeeze", inputs, **attributes)

    def slice(self, x, starts, ends, axes, steps=None):
        if self.opset < 10:
            return self.node("Slice", [x], starts=starts, ends=ends, **({"axes": axes} if axes is not None else {}))
        inputs = [x, self.ints(starts), self.ints(ends), "" if axes is None else self.ints(axes), "" if steps is None else self.ints(steps)]
        return self.node("Slice", inputs)

    def reshape(self, x, want):
        """want[0] is the batch."""
        want, have = list(want), self.shape(x)
        form = self.r.randrange(5)
        if form == 0:
            return self.node("Reshape", [x, self.shape_of(x, want)], **(self.defaults(allowzero=(0, 0)) if self.opset >= 14 else {}))
        target = want[:]
        if self.fixed and self.chance():
            pass
        elif form == 1:
            target[0] = -1
        else:
            target[0] = 0
        if form == 2 and -1 not in target:
            target[self.r.randrange(1, len(target))] = -1
        if form == 3:
            target = [0 if 0 < i < len(have) and d == have[i] and d != -1 else d for i, d in enumerate(target)]
        attributes = {}
        if self.opset >= 14:
            attributes = self.defaults(allowzero=(1 if 0 not in target and self.chance(0.3) else 0, 0))
        return self.node("Reshape", [x, self.ints(target)], **attributes)

    def flat(self, x):
        if self.rank(x) == 2:
            return x
        if self.chance(0.4):
            return self.node("Flatten", [x], **self.defaults(axis=(1, 1)))
        return self.reshape(x, [self.batch, math.prod(self.shape(x)[1:])])

    def to_rank(self, x, rank):
        """x in another rank, batch first."""
        shape = self.shape(x)
        if len(shape) == rank:
            return x
        if len(shape) > rank:
            if rank == 2:
                return self.flat(x)
            return self.reshape(x, shape[:rank - 1] + [math.prod(shape[rank - 1:])])
        while len(shape) < rank:
            places = [i for i in range(1, len(shape)) if shape[i] > 1]
            if not places:
                shape.append(1)
                continue
            i = self.r.choice(places)
            d = self.r.choice([k for k in range(1, shape[i] + 1) if shape[i] % k == 0 and (k > 1 or shape[i] == 1 or self.chance(0.2))] or [1])
            shape[i:i + 1] = [d, shape[i] // d]
        return self.reshape(x, shape)

    def mul(self, x, value):
        return self.node("Mul", [x, self.scalar(value)])

    def number(self, b):
        """A bool or integer tensor as floats."""
        return self.node("Cast", [b], to=TensorProto.FLOAT)

    def bounded(self, x):
        """Values in (-1, 1)."""
        return self.mul(self.node(self.r.choice(["Tanh", "Softsign", "Sin"]), [x]), 0.875)

    def positive(self, x):
        form = self.r.randrange(4)
        if form == 0:
            return self.node("Sigmoid", [x])
        if form == 1:
            return self.node("Softplus", [x])
        y = self.node("Abs", [x]) if form == 2 else self.node("Mul", [x, x])
        return self.node("Add", [y, self.scalar(0.25)])

    def tame(self, x):
        """Keeps values of a size at which float32 has digits to spare."""
        top = self.values[x].abs().max().item()
        if top > 1e6:
            raise Redraw("large values")
        if top > 20:
            return self.mul(x, 2.0 ** -math.ceil(math.log2(top / 4)))
        if top < 1e-3:
            raise Redraw("small values")
        return x

    def axis(self, x, since=11):
        """An axis other than the batch, counted from the end at times where the opset allows it."""
        a = self.r.randrange(self.first, self.rank(x))
        return a - self.rank(x) if self.opset >= since and self.chance(0.4) else a

    def joined(self, x, extra):
        """Combines x with another tensor [batch, ...] of floats."""
        a, b = self.shape(x), self.shape(extra)
        try:
            fits = list(torch.broadcast_shapes(a, b))[0] == self.batch
        except RuntimeError:
            fits = False
        if fits and (len(a) == len(b) or b[0] == 1 or len(b) == 0):
            return self.node(self.r.choice(["Add", "Sub", "Mul"]), [x, extra] if self.chance() else [extra, x])
        if not b or b[0] != self.batch:
            raise Redraw("does not fit")
        return self.node("Concat", [self.flat(x), self.flat(extra if len(b) > 1 else self.unsqueeze(extra, [1]))], axis=1)


def since_inputs(op, opset):
    return defs.get_schema(op, opset, "").max_input


# What draws an operator: f(graph, x, operator) adds it to x, a float tensor [batch, ...], and names the result.

DRAWS, RANKS, FLAT = {}, {}, set()


def draw(names, ranks=(2, 3, 4), slopeless=False):
    def register(f):
        for name in names.split():
            DRAWS[name], RANKS[name] = f, ranks
            if slopeless:
                FLAT.add(name)
        return f
    return register


@draw("Abs Atan Asinh Cos Erf Exp Identity Neg Relu Sigmoid Sin Softplus Softsign Tanh Mish HardSwish")
def unary(g, x, op):
    return g.node(op, [x])


@draw("Ceil Floor Round Sign", slopeless=True)
def rounded(g, x, op):
    return g.node(op, [g.mul(x, g.r.choice([1.0, 3.0, 0.75]))])


@draw("Acos Asin Atanh Tan Sinh Cosh")
def small(g, x, op):
    return g.node(op, [g.bounded(x)])


@draw("Acosh")
def acosh(g, x, op):
    return g.node(op, [g.node("Add", [g.positive(x), g.scalar(1.0)])])


@draw("Log Sqrt Reciprocal")
def of_positive(g, x, op):
    return g.node(op, [g.node("Neg", [g.positive(x)]) if op == "Reciprocal" and g.chance(0.3) else g.positive(x)])


@draw("Celu Elu LeakyRelu ThresholdedRelu Swish")
def one_alpha(g, x, op):
    default = {"LeakyRelu": 0.01}.get(op, 1.0)
    alpha = default if g.chance(0.3) else g.r.choice([0.125, 0.5, 1.5, 0.3])
    return g.node(op, [x], **g.defaults(alpha=(alpha, default)))


@draw("Selu")
def selu(g, x, op):
    alpha, gamma = g.r.choice([(None, None), (1.25, 0.75), (1.5, None), (None, 1.25)])
    return g.node(op, [x], alpha=alpha, gamma=gamma)


@draw("HardSigmoid")
def hard_sigmoid(g, x, op):
    return g.node(op, [x], **g.defaults(alpha=(g.r.choice([0.2, 0.125, 0.5]), 0.2), beta=(g.r.choice([0.5, 0.25, 0.6]), 0.5)))


@draw("Shrink")
def shrink(g, x, op):
    return g.node(op, [x], **g.defaults(lambd=(g.r.choice([0.5, 0.25, 0.1]), 0.5), bias=(g.r.choice([0.0, 0.125, 0.4]), 0.0)))


@draw("Gelu")
def gelu(g, x, op):
    how = g.r.choice(["none", "tanh"])
    g.words.append(how)
    return g.node(op, [x], **g.defaults(approximate=(how, "none")))


@draw("Clip")
def clip(g, x, op):
    low, high = g.r.choice([(-0.5, 0.5), (0.0, 6.0), (None, 0.25), (0.125, None), (None, None), (-0.3, 0.7)])
    if g.opset < 11:
        return g.node(op, [x], min=low, max=high)
    return g.node(op, [x, "" if low is None else g.scalar(low), "" if high is None else g.scalar(high)])


@draw("PRelu")
def prelu(g, x, op):
    shape = g.shape(x)
    slope = g.r.choice([[1], [shape[1]] + [1] * (len(shape) - 2), shape[1:], [1] + shape[1:], [1] * len(shape), shape[-1:]])
    return g.node(op, [x, g.weight(*slope, scale=0.5)])


def other(g, x):
    """Something that broadcasts with x."""
    shape = g.shape(x)
    form = g.r.randrange(6)
    if form == 0:
        return g.scalar(g.r.choice([0.5, -1.25, 2.0]))
    if form == 1:
        return g.weight(*shape[1:])
    if form == 2:
        return g.weight(shape[-1])
    if form == 3:
        return g.weight(*([1] + [d if g.chance() else 1 for d in shape[1:]]))
    if form == 4:
        return g.node("Sin", [g.mul(x, 1.5)])
    name = g.r.choice(["ReduceMean", "ReduceMax", "ReduceMin"])
    inputs, attributes = g.axes(name, x, [g.axis(x)], first=18)
    return g.node(name, inputs, **attributes)


@draw("Add Sub Mul")
def arithmetic(g, x, op):
    pair = [x, other(g, x)]
    return g.node(op, pair if g.chance(0.7) else pair[::-1])


@draw("Div")
def div(g, x, op):
    y = other(g, x)
    if g.chance(0.7) or g.is_const(y):
        return g.node(op, [x, g.node("Add", [g.node("Abs", [y]), g.scalar(0.75)])])
    return g.node(op, [y, g.positive(x)])


@draw("Pow")
def power(g, x, op):
    form = g.r.randrange(4)
    if form == 0:
        return g.node(op, [x, g.scalar(g.r.choice([2.0, 3.0, 1.0]))])
    if form == 1:
        return g.node(op, [g.positive(x), g.r.choice([g.scalar(0.5), g.scalar(-1.5), g.weight(g.shape(x)[-1]), other(g, x)])])
    if form == 2 and g.opset >= 12:
        return g.node(op, [x, g.scalar(g.r.choice([2, 3]), g.r.choice([np.int64, np.int32]))])
    return g.node(op, [g.const(np.float32([1.5, 0.5][g.r.randrange(2)])), x])


@draw("Mod")
def mod(g, x, op):
    if g.chance(0.7):
        g.words.append("fmod")
        y = g.node("Add", [g.node("Abs", [other(g, x)]), g.scalar(0.75)])
        return g.node(op, [g.mul(x, 3.0), y], fmod=1)
    i = g.node("Cast", [g.mul(x, 5.0)], to=g.r.choice([TensorProto.INT32, TensorProto.INT64]))
    three = g.node("Cast", [g.ints([g.r.choice([3, -3, 2])])], to=onnx_type(g, i))
    return residual(g, x, g.number(g.node(op, [i, three], **g.defaults(fmod=(g.r.choice([0, 1]), 0)))))


def onnx_type(g, name):
    return {torch.int32: TensorProto.INT32, torch.int64: TensorProto.INT64, torch.float64: TensorProto.FLOAT, torch.bool: TensorProto.BOOL}[g.values[name].dtype]


def residual(g, x, y):
    """y has no slope: add x, so that the gradient is not zero."""
    if g.chance(0.15):
        return g.joined(g.mul(x, 0.5), y)
    try:
        return g.joined(x, y)
    except Redraw:
        return g.node("Add", [x, y])


@draw("Max Min Sum Mean")
def variadic(g, x, op):
    inputs = [x] + [other(g, x) for _ in range(g.r.choice([0, 1, 1, 2]))]
    if g.opset < 8:  # no broadcasting yet
        inputs = [x] + [g.node(f, [x]) for f in g.r.sample(["Sin", "Neg", "Tanh"], g.r.choice([0, 1, 2]))]
    g.r.shuffle(inputs)
    return g.node(op, inputs)


def compared(g, x):
    """A bool tensor of x's shape."""
    return g.node(g.r.choice(["Greater", "Less"]), [x, g.weight(g.shape(x)[-1])])


def chosen(g, x, b):
    """A float tensor made with a bool one."""
    if g.opset >= 9 and g.chance(0.7):
        y = g.r.choice([lambda: g.scalar(0.25), lambda: g.mul(x, -0.5), lambda: g.weight(g.shape(x)[-1]), lambda: g.node("Tanh", [x])])()
        return g.node("Where", [b, x, y] if g.chance() else [b, y, x])
    return g.node("Add", [g.node("Mul", [x, g.number(b)]), g.mul(x, 0.25)])


@draw("Greater Less GreaterOrEqual LessOrEqual")
def comparison(g, x, op):
    pair = [x, other(g, x)]
    return chosen(g, x, g.node(op, pair if g.chance() else pair[::-1]))


@draw("Equal")
def equal(g, x, op):
    if g.opset >= 11 and g.chance(0.5):
        a, b = g.node("Floor", [x]), g.scalar(0.0)
    elif g.chance():
        a, b = compared(g, x), compared(g, x)
    else:
        to = g.r.choice([TensorProto.INT32, TensorProto.INT64])
        a, b = g.node("Cast", [x], to=to), g.const(np.zeros(1, np.int32 if to == TensorProto.INT32 else np.int64))
    return chosen(g, x, g.node(op, [a, b]))


@draw("And Or Xor")
def logical(g, x, op):
    b = compared(g, x)
    c = compared(g, x) if g.chance(0.6) else g.const(g.np.integers(0, 2, g.shape(x)[-1:]).astype(bool))
    return chosen(g, x, g.node(op, [b, c]))


@draw("Not")
def negation(g, x, op):
    return chosen(g, x, g.node(op, [compared(g, x)]))


@draw("Where")
def where(g, x, op):
    if g.chance(0.3):
        b = g.const(g.np.integers(0, 2, g.shape(x)[-1:]).astype(bool))
    else:
        b = compared(g, x)
    return g.node(op, [b, x, other(g, x)])


@draw("IsNaN IsInf")
def special(g, x, op):
    width = g.shape(x)[-1]
    special = np.array([np.nan, np.inf, -np.inf, 1.0], np.float32)
    c = g.const(special[g.np.integers(0, 4, width)])
    attributes = g.defaults(detect_negative=(g.r.choice([0, 1]), 1), detect_positive=(g.r.choice([0, 1]), 1)) if op == "IsInf" else {}
    return chosen(g, x, g.node(op, [c if g.chance(0.7) else x], **attributes))


@draw("Cast")
def cast(g, x, op):
    to = g.r.choice([TensorProto.DOUBLE, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8])
    g.words.append(TensorProto.DataType.Name(to).lower())
    source = g.mul(g.positive(x), 3.0) if to == TensorProto.UINT8 else g.mul(x, 3.0)
    if to == TensorProto.BOOL:
        source = g.node("Relu", [source])
    y = g.node(op, [source], to=to)
    if to in (TensorProto.DOUBLE, TensorProto.FLOAT):
        return g.node(op, [y], to=TensorProto.FLOAT)
    return residual(g, x, g.number(y))


@draw("CastLike")
def cast_like(g, x, op):
    if g.chance():
        return residual(g, x, g.node(op, [compared(g, x), x]))
    like = g.r.choice([np.float32, np.int32, np.int64])
    return residual(g, x, g.number(g.node(op, [g.mul(x, 3.0), g.const(np.zeros(1, like))])))


@draw("Dropout")
def dropout(g, x, op):
    ratio = g.r.choice([None, 0.25, 0.5, 0.0])
    if g.opset < 12:
        y = g.node(op, [x], ratio=ratio)
    else:
        training = "" if g.chance() else g.const(np.array(False))
        y = g.node(op, [x, "" if ratio is None else g.scalar(ratio), training], **({"seed": 3} if g.chance(0.2) else {}))
    return y


# Constants and shapes.


@draw("Constant")
def constant(g, x, op):
    if g.opset >= 12 and g.chance(0.6):
        form = g.r.randrange(4)
        if form == 0:
            c = g.node(op, [], value_float=1.25)
        elif form == 1:
            c = g.node(op, [], value_floats=[0.5 + i for i in range(g.shape(x)[-1])])
        elif form == 2:
            c = g.number(g.node(op, [], value_int=2))
        else:
            c = g.number(g.node(op, [], value_ints=list(range(1, 1 + g.shape(x)[-1]))))
    else:
        c = g.node(op, [], value=numpy_helper.from_array(np.float32(g.np.integers(1, 9, g.shape(x)[-1:])) / 4, "t"))
    return g.node(g.r.choice(["Add", "Mul"]), [x, c])


@draw("ConstantOfShape")
def constant_of_shape(g, x, op):
    value, out = g.r.choice([(None, None), (np.float32([1.5]), None), (np.int64([3]), 1), (np.float32([-0.25]), None)])
    shape = g.shape_of(x, g.shape(x)) if g.chance() else g.ints([1] + g.shape(x)[1:])
    c = g.node(op, [shape], value=None if value is None else numpy_helper.from_array(value, "t"))
    return g.node("Add", [x, g.number(c) if out else c])


@draw("EyeLike", ranks=(2,))
def eye_like(g, x, op):
    n = g.shape(x)[1]
    m = g.r.randrange(2, 7)
    k = g.r.choice([0, 0, 1, -1])
    like, dtype = g.r.choice([(np.float32, None), (np.int64, TensorProto.FLOAT), (np.float32, TensorProto.FLOAT)])
    eye = g.node(op, [g.const(np.zeros((n, m), like))], dtype=dtype, **g.defaults(k=(k, 0)))
    return g.node("Add", [g.node("MatMul", [x, eye]), g.node("MatMul", [x, g.weight(n, m, scale=0.3)])])


@draw("Range")
def arange(g, x, op):
    n = g.shape(x)[-1]
    if g.chance():
        limit = g.squeeze(g.dim(x, g.rank(x) - 1), [0]) if g.chance() else g.scalar(n, np.int64)
        r = g.number(g.node(op, [g.scalar(0, np.int64), limit, g.scalar(1, np.int64)]))
    else:
        step = g.r.choice([0.5, -0.25])
        r = g.node(op, [g.scalar(1.0), g.scalar(1.0 + step * n), g.scalar(step)])
    return g.node(g.r.choice(["Add", "Mul"]), [x, g.mul(r, 0.25)])


@draw("Shape Size")
def shape(g, x, op):
    form = g.r.randrange(3)
    if op == "Size":
        # Values per image: Size / batch, as a target of Reshape or as a divisor.
        per = g.node("Div", [g.node(op, [x]), g.squeeze(g.dim(x, 0), [0])])
        if form == 0:
            return g.node("Div", [g.mul(x, 8.0), g.number(per)])
        target = g.node("Concat", [g.dim(x, 0), g.unsqueeze(per, [0])], axis=0)
        return g.node("Reshape", [x, target])
    if form == 0:
        s = g.node(op, [x], **({"start": g.r.choice([1, 1 - g.rank(x)])} if g.opset >= 15 else {}))
        if g.opset < 15:
            s = g.slice(s, [1], [g.r.choice([2 ** 31 - 1, g.rank(x)])], [0] if g.chance() else None)
        low = g.node("ReduceProd" if g.opset >= 11 or g.chance() else "ReduceSum", [g.number(s)], keepdims=0)
        return g.node("Div", [g.mul(x, 8.0), low])
    return g.node("Reshape", [x, g.shape_of(x, [g.batch, math.prod(g.shape(x)[1:])])])


@draw("Reshape", ranks=(2, 3, 4, 5))
def reshape(g, x, op):
    shape = g.shape(x)
    for _ in range(4):
        want = shape[1:]
        g.r.shuffle(want)
        if len(want) > 1 and g.chance():
            i = g.r.randrange(len(want) - 1)
            want[i:i + 2] = [want[i] * want[i + 1]]
        elif len(want) < 4:
            i = g.r.randrange(len(want))
            d = g.r.choice([k for k in range(1, want[i] + 1) if want[i] % k == 0])
            want[i:i + 1] = [d, want[i] // d]
        if [g.batch] + want != shape:
            break
    return g.reshape(x, [g.batch] + want)


@draw("Flatten", ranks=(2, 3, 4, 5))
def flatten(g, x, op):
    rank = g.rank(x)
    if g.chance(0.5):
        return g.node(op, [x], **g.defaults(axis=(1 - rank if g.opset >= 11 and g.chance() else 1, 1)))
    if g.chance(0.5):  # another axis, and back
        axis = g.r.choice([rank - 1, rank] + ([-1, 1 - rank] if g.opset >= 11 else []) + [0])
        y = g.node(op, [x], axis=axis)
        y = g.node("Mul", [y, g.scalar(0.5)])
        shape = g.shape(x)
        return g.node("Reshape", [y, g.shape_of(x, shape)])
    c = g.node(op, [g.weight(2, 3, 2)], **g.defaults(axis=(g.r.choice([0, 1, 2, 3]), 1)))
    return g.node("Mul", [x, total(g, c)])


def total(g, c):
    """A constant tensor as one number."""
    return g.node("ReduceSum", [g.node("Sin", [c])], keepdims=0)


@draw("Expand")
def expand(g, x, op):
    shape = g.shape(x)
    if g.chance(0.4):
        i = g.r.randrange(1, len(shape) + 1)
        y = g.unsqueeze(x, [i])
        want = shape[:i] + [2] + shape[i:]
        return g.node(op, [y, g.shape_of(x, want) if g.chance() else g.ints([1] + want[1:])])
    c = g.weight(*[1] + [d if g.chance() else 1 for d in shape[1:]])
    want = g.shape_of(x, shape) if g.chance(0.7) else g.ints(shape[1:])
    return g.node("Add", [x, g.node(op, [c, want])])


@draw("Tile")
def tile(g, x, op):
    repeats = [1] + [g.r.choice([1, 1, 2, 3]) for _ in g.shape(x)[1:]]
    return g.node(op, [x, g.ints(repeats)])


@draw("Transpose")
def transpose(g, x, op):
    rest = list(range(1, g.rank(x)))
    g.r.shuffle(rest)
    if g.chance(0.2):  # the default reverses: twice is nothing
        y = g.node(op, [x])
        return g.node(op, [g.node("Tanh", [y])], **({} if g.chance() else {"perm": list(range(g.rank(x)))[::-1]}))
    return g.node(op, [x], perm=[0] + rest)


@draw("Squeeze")
def squeeze(g, x, op):
    i = g.r.randrange(1, g.rank(x) + 1)
    y = g.unsqueeze(x, [i])
    if g.chance(0.2) and not g.fixed and 1 not in g.shape(x):
        return g.node(op, [y])
    axes = [i] + [a + (a >= i) for a in range(2, g.rank(x)) if g.shape(x)[a] == 1 and g.chance(0.3)]
    return g.squeeze(y, axes)


@draw("Unsqueeze", ranks=(2, 3))
def unsqueeze(g, x, op):
    rank = g.rank(x)
    axes = g.r.sample(range(1, rank + 1), g.r.choice([1, 1, 2]) if rank < 3 else 1)
    return g.unsqueeze(x, axes)


@draw("Concat")
def concat(g, x, op):
    a = g.axis(x)
    parts = [x] + [g.node(f, [x]) for f in g.r.sample(["Sin", "Tanh", "Neg", "Relu"], g.r.choice([0, 1, 2]))]
    if g.chance(0.3):
        c = g.weight(*[1] + g.shape(x)[1:])
        parts.append(g.node("Expand", [c, g.shape_of(x, g.shape(x))]) if g.opset >= 8 else g.node("Add", [g.node("Mul", [x, g.scalar(0.0)]), c]))
    g.r.shuffle(parts)
    return g.node(op, parts, axis=a)


@draw("Split")
def split(g, x, op):
    a, form = g.axis(x), g.r.randrange(3)
    n = g.shape(x)[a]
    if n == 1:
        raise Redraw("nothing to split")
    parts = g.r.choice([k for k in range(2, min(n, 4) + 1)])
    if a in (0,):
        raise Redraw("batch")
    attributes = {"axis": a}
    if form == 0 and n % parts == 0 and g.opset < 18:
        ys = g.node(op, [x], outputs=parts, **attributes)
    elif form < 2 and g.opset >= 18:
        if n - -(-n // parts) * (parts - 1) < 1:
            raise Redraw("empty part")
        g.words.append("num_outputs")
        ys = g.node(op, [x], outputs=parts, num_outputs=parts, **attributes)
    else:
        cuts = sorted(g.r.sample(range(1, n), parts - 1))
        sizes = [b - a for a, b in zip([0] + cuts, cuts + [n])]
        ys = g.node(op, [x] + ([g.ints(sizes)] if g.opset >= 13 else []), outputs=parts, **attributes, **({} if g.opset >= 13 else {"split": sizes}))
    ys = [g.node("Sin", [y]) if g.chance(0.3) else y for y in ys]
    if len({tuple(g.shape(y)) for y in ys}) == 1 and g.chance():
        return g.node("Add", [g.node("Mul", [ys[0], ys[1]]), ys[-1]])
    if g.chance(0.3) and parts > 1:
        ys = ys[1:]
    return g.node("Concat", ys[::-1], axis=a)


@draw("Slice")
def slice_of(g, x, op):
    rank, shape = g.rank(x), g.shape(x)
    axes = g.r.sample(range(1, rank), g.r.randrange(1, rank))
    starts, ends, steps = [], [], []
    stepped = g.opset >= 10 and g.chance()
    for a in axes:
        n = shape[a]
        step = g.r.choice([1, 2, -1, -2, 3]) if stepped else 1
        start, end = sorted([g.r.randrange(0, n), g.r.randrange(1, n + 1)])
        end = max(end, start + 1)
        if step < 0:
            start, end = end - 1, start - 1
            end = g.r.choice([-n - 1, -2 ** 63 + 1, -2 ** 31]) if end < 0 else end
        elif end == n and g.chance():
            end = g.r.choice([2 ** 31 - 1, 2 ** 63 - 1, n + 5])
        starts.append(start - n if g.chance(0.3) else start)
        ends.append(end - n if 0 < end < n and g.chance(0.3) else end)
        steps.append(step)
    named = [a - rank if g.chance(0.3) and g.opset >= 10 else a for a in axes]
    if g.chance(0.2) and not stepped:  # without axes: the first ones, batch included
        a = g.r.randrange(1, rank)
        start = g.r.randrange(0, shape[a])
        return g.slice(x, [0] * a + [start], [2 ** 31 - 1] * a + [shape[a]], None)
    if stepped:
        g.words.append("steps %s" % steps)
    return g.slice(x, starts, ends, named, steps if stepped else None)


@draw("Pad", ranks=(2, 3, 4, 5))
def pad(g, x, op):
    shape, rank = g.shape(x), g.rank(x)
    modes = ["constant", "constant", "edge", "reflect"] + (["wrap"] * 2 if g.opset >= 19 else [])
    mode = g.r.choice(modes)
    g.words.append(mode)
    axes = list(range(1, rank))
    if mode == "reflect":
        axes = axes[-3:]
    pads = [0] * (2 * rank)
    for a in axes:
        for side in (0, rank):
            top = min(shape[a] - 1, 3) if mode in ("reflect", "wrap") else 2
            pads[a + side] = g.r.randint(0, top)
            if g.chance(0.1) and shape[a] > 2:
                pads[a + side] = -1
                g.words.append("negative")
    value = g.r.choice([None, 0.5, -1.25]) if mode == "constant" else None
    attributes = g.defaults(mode=(mode, "constant"))
    if g.opset < 11:
        return g.node(op, [x], pads=pads, value=value, **attributes)
    last = ""
    if g.opset >= 18 and g.chance(0.6):
        axes = [a for a in range(rank) if pads[a] or pads[a + rank] or g.chance(0.3)] or [1]
        g.r.shuffle(axes)
        pads = [pads[a] for a in axes] + [pads[a + rank] for a in axes]
        named = [a - rank if g.chance(0.4) else a for a in axes]
        last = g.ints(named)
    elif g.chance(0.25):
        return g.node(op, [x, torch_pads(g, pads), "" if value is None else g.scalar(value)], **attributes)
    return g.node(op, [x, g.ints(pads), "" if value is None else g.scalar(value), last], **attributes)


def torch_pads(g, pads):
    """The arithmetic that PyTorch's older exporter writes for widths: its own order, filled with zeros, turned round."""
    rank = len(pads) // 2
    own = [v for a in reversed(range(rank)) for v in (pads[a], pads[a + rank])][:2 * (rank - 1)]
    zeros = g.node("ConstantOfShape", [g.ints([2])], value=numpy_helper.from_array(np.int64([0]), "t"))
    y = g.node("Reshape", [g.node("Concat", [g.ints(own), zeros], axis=0), g.ints([-1, 2])])
    y = g.node("Slice", [y, g.ints([-1]), g.ints([-2 ** 63 + 1]), g.ints([0]), g.ints([-1])])
    y = g.node("Reshape", [g.node("Transpose", [y], perm=[1, 0]), g.ints([-1])])
    return g.node("Cast", [y], to=TensorProto.INT64)


@draw("DepthToSpace", ranks=(4,))
def depth_to_space(g, x, op):
    b, c, h, w = g.shape(x)
    if c % 4:
        x = widened(g, x, 4)
    mode = g.r.choice(["DCR", "CRD"]) if g.opset >= 11 else None
    g.words.append(str(mode))
    return g.node(op, [x], blocksize=2, **(g.defaults(mode=(mode, "DCR")) if mode else {}))


@draw("SpaceToDepth", ranks=(4,))
def space_to_depth(g, x, op):
    b, c, h, w = g.shape(x)
    if h % 2 or w % 2 or g.chance(0.1):
        x, h, w = g.node("Concat", [x, x], axis=2), 2 * h, w
        x = g.node("Concat", [x, g.node("Tanh", [x])], axis=3)
    return g.node(op, [x], blocksize=2)


def widened(g, x, channels):
    """x with another number of channels, by a convolution of width 1."""
    n = g.rank(x) - 2
    return g.node("Conv", [x, g.weight(channels, g.shape(x)[1], *[1] * n, scale=0.7)])


@draw("Trilu", ranks=(3, 4))
def trilu(g, x, op):
    k = "" if g.chance(0.4) else g.scalar(g.r.choice([0, 1, -1, 2]), np.int64)
    y = g.node(op, [x, k], **g.defaults(upper=(g.r.choice([0, 1]), 1)))
    return y if g.chance(0.7) else g.node("Add", [x, y])


# Gathering and scattering.


def indices(g, n, shape, negative=True):
    i = g.np.integers(-n if negative else 0, n, shape)
    return i.astype(g.r.choice([np.int64, np.int64, np.int32]))


@draw("Gather")
def gather(g, x, op):
    a = g.axis(x)
    n = g.shape(x)[a]
    shape = g.r.choice([(), (2,), (3,), (2, 2)])
    if shape == () and g.rank(x) == 2:
        shape = (2,)
    return g.node(op, [x, g.const(indices(g, n, shape, g.opset >= 11))], axis=a)


def repeated(g, x, array):
    """A constant [1, ...] repeated for every image of the batch, of x."""
    c = g.const(array)
    if g.fixed == 1 and g.chance():
        return c
    return g.node("Expand", [c, g.shape_of(x, [g.batch] + list(array.shape[1:]))])


@draw("GatherElements")
def gather_elements(g, x, op):
    a = g.axis(x)
    if g.chance(0.3):
        axis = a
        i = g.node("ArgMax", [x], axis=axis, **g.defaults(keepdims=(1, 1)))
        return g.joined(x, g.node(op, [x, i], axis=axis))
    shape = g.shape(x)
    shape[a] = g.r.randrange(1, 4)
    shape[0] = 1
    return g.node(op, [x, repeated(g, x, indices(g, g.shape(x)[a], shape))], axis=a)


@draw("GatherND", ranks=(3, 4))
def gather_nd(g, x, op):
    shape = g.shape(x)
    if g.opset >= 12 and g.chance():
        width, k = g.r.randrange(1, len(shape)), g.r.randrange(2, 4)
        i = np.stack([g.np.integers(-d, d, (1, k)) for d in shape[1:1 + width]], -1).astype(np.int64)
        g.words.append("batch_dims 1")
        return g.node(op, [x, repeated(g, x, i)], batch_dims=1)
    perm = list(range(1, len(shape))) + [0]
    y = g.node("Transpose", [x], perm=perm)
    width = g.r.randrange(1, len(shape))
    i = np.stack([g.np.integers(-d, d, (4,)) for d in shape[1:1 + width]], -1).astype(np.int64)
    y = g.node(op, [y, g.const(i)], **(g.defaults(batch_dims=(0, 0)) if g.opset >= 12 else {}))
    rank = g.rank(y)
    return g.node("Transpose", [y], perm=[rank - 1] + list(range(rank - 1)))


def reduction_of(g, op):
    v = since(op, g.opset)
    if v < 16:
        return {}
    how = g.r.choice(["none", "add", "mul"] + (["max", "min"] if v >= 18 else []))
    g.words.append(how)
    return g.defaults(reduction=(how, "none"))


@draw("Scatter ScatterElements")
def scatter_elements(g, x, op):
    a = g.axis(x, since=11)
    shape, how = g.shape(x), reduction_of(g, op)
    if a % len(shape) == 0:  # of a constant: what is drawn below is for one image, and repeated
        raise Redraw("scattering over the first axis")
    n = shape[a]
    k = g.r.randrange(1, n + 1)
    shape[a] = k
    # Without a reduction the places are distinct: else the order would matter.
    if how.get("reduction", "none") == "none":
        i = np.argsort(g.np.random([1] + [n if j == a % len(shape) else d for j, d in enumerate(shape)][1:]), axis=a)
        i = np.take(i, range(k), axis=a)
    else:
        i = g.np.integers(0, n, [1] + shape[1:])
    if g.opset >= 11 and g.chance(0.3):
        i = i - n * (g.np.random(i.shape) < 0.5)
    if g.chance(0.5):
        updates = repeated(g, x, np.float32(g.np.integers(1, 40, [1] + shape[1:])) / 16)
    else:
        updates = g.slice(g.node("Cos", [x]), [0], [k], [a % len(shape)])
    return g.node(op, [x, repeated(g, x, i.astype(np.int64)), updates], axis=a, **how)


@draw("ScatterND", ranks=(2, 3, 4))
def scatter_nd(g, x, op):
    shape, how = g.shape(x), reduction_of(g, op)
    perm = list(range(1, len(shape))) + [0]
    y = g.node("Transpose", [x], perm=perm)
    width = g.r.randrange(1, len(shape))
    every = np.stack(np.meshgrid(*[np.arange(d) for d in shape[1:1 + width]], indexing="ij"), -1).reshape(-1, width)
    k = g.r.randrange(1, min(len(every), 4) + 1)
    i = every[g.np.permutation(len(every))[:k]] if how.get("reduction", "none") == "none" else every[g.np.integers(0, len(every), k)]
    i = i - np.array(shape[1:1 + width]) * (g.np.random(i.shape) < 0.2)
    updates = g.node("GatherND", [g.node("Sin", [y]), g.const(every[:k].astype(np.int64))])
    y = g.node(op, [y, g.const(i.astype(np.int64)), updates], **how)
    rank = g.rank(y)
    return g.node("Transpose", [y], perm=[rank - 1] + list(range(rank - 1)))


@draw("OneHot")
def one_hot(g, x, op):
    a = g.axis(x)
    i = g.node("ArgMax", [x], axis=a, keepdims=0)
    n = g.shape(x)[a]
    if g.opset >= 11 and g.chance(0.3):
        i = g.node("Sub", [i, g.ints([n])]) if g.chance() else g.node("Sub", [i, g.ints([1])])
    depth = g.scalar(n, np.int64) if g.chance() or g.opset >= 28 else g.ints([n])
    axis = a if g.chance() else a % g.rank(x)
    if a % g.rank(x) == g.rank(x) - 1 and g.chance(0.4):
        axis = None
    values = g.const(np.float32(g.r.choice([[0, 1], [-0.25, 1.5]])))
    hot = g.node(op, [i, depth, values], axis=axis)
    return g.node("Add", [g.node("Mul", [x, hot]), x])


@draw("TopK")
def top_k(g, x, op):
    a = g.axis(x, since=10)
    n = g.shape(x)[a]
    k = g.r.randrange(1, n + 1)
    axis = {} if a % g.rank(x) == g.rank(x) - 1 and g.chance() else {"axis": a}
    if g.opset < 10:
        values, at = g.node(op, [x], outputs=2, k=k, **axis)
    else:
        more = g.defaults(largest=(g.r.choice([0, 1]), 1), sorted=(1, 1)) if g.opset >= 11 else {}
        values, at = g.node(op, [x, g.ints([k])], outputs=2, **axis, **more)
    if g.chance(0.4):
        return g.joined(values, g.mul(g.number(at), 0.25))
    return values


# Reductions.


@draw("ArgMax ArgMin")
def arg_max(g, x, op):
    a = g.axis(x)
    keep = g.r.choice([0, 1])
    last = g.defaults(select_last_index=(g.r.choice([0, 1]), 0)) if g.opset >= 12 else {}
    if last.get("select_last_index") and g.chance():
        x = g.node("Relu", [x])  # equal values
    i = g.node(op, [x], axis=a, **g.defaults(keepdims=(keep, 1)), **last)
    if g.chance(0.3):
        c = g.node(op, [g.weight(3, 4)], **g.defaults(axis=(0, 0)), **g.defaults(keepdims=(keep, 1)))
        return g.node("Add", [x, g.node("ReduceMax", [g.number(c)], keepdims=0)])
    return g.joined(x, g.mul(g.number(i), 0.25))


def reduced(g, x, op, first):
    """Any reduction: axes in the form of the opset, from which they are an input."""
    rank = g.rank(x)
    keep = g.r.choice([0, 1])
    attributes = g.defaults(keepdims=(keep, 1))
    if g.chance(0.15):  # all axes, of a constant
        c = g.weight(2, 3, low=0.25)
        inputs = [c] if g.opset < first or g.chance() else [c, g.ints([])]
        if g.opset >= first:
            attributes.update(g.defaults(noop_with_empty_axes=(0, 0)))
        c = g.node(op, inputs, **attributes)
        return g.node("Mul", [x, g.node("Reshape", [c, g.ints([1])])])
    if g.opset >= first and g.chance(0.2):
        g.words.append("noop")
        inputs = [x, g.ints([])] if g.chance() else [x]
        return g.node(op, inputs, noop_with_empty_axes=1, **attributes)
    axes = g.r.sample(range(g.first, rank), g.r.randrange(1, rank))
    named = [a - rank if g.opset >= 11 and g.chance(0.4) else a for a in axes]
    inputs, more = g.axes(op, x, named, first)
    if g.opset >= first:
        more.update(g.defaults(noop_with_empty_axes=(g.r.choice([0, 1]), 0)))
    y = g.node(op, inputs, **attributes, **more)
    if g.rank(y) < 2:
        return g.unsqueeze(y, [1])
    return g.joined(x, y) if g.chance(0.4) else y


@draw("ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSumSquare")
def reduce(g, x, op):
    if op == "ReduceMax" and g.opset >= 20 and g.chance(0.15):
        inputs, _ = g.axes(op, compared(g, x), [-1], 18)
        return g.joined(x, g.number(g.node(op, inputs)))
    return reduced(g, x, op, 18)


@draw("ReduceLogSum")
def reduce_log_sum(g, x, op):
    return reduced(g, g.positive(x), op, 18)


@draw("ReduceSum")
def reduce_sum(g, x, op):
    return reduced(g, x, op, 13)


@draw("CumSum")
def cum_sum(g, x, op):
    attributes = g.defaults(exclusive=(g.r.choice([0, 1]), 0), reverse=(g.r.choice([0, 1]), 0))
    return g.node(op, [x, g.scalar(g.axis(x), g.r.choice([np.int64, np.int32]))], **attributes)


@draw("Softmax LogSoftmax Hardmax")
def softmax(g, x, op):
    a = g.axis(x)
    default = -1 if g.opset >= 13 else 1
    if g.chance(0.3):
        a = default
    y = g.node(op, [x], **g.defaults(axis=(a, default)))
    return residual(g, x, y) if op == "Hardmax" else y


# Products.


@draw("Gemm", ranks=(2,))
def gemm(g, x, op):
    n, m = g.shape(x)[1], g.r.randrange(2, 8)
    ta, tb = int(g.chance(0.2)), g.r.choice([0, 1])
    if ta:
        x = g.node("Transpose", [x], perm=[1, 0])
    w = g.weight(*((m, n) if tb else (n, m)), scale=1 / math.sqrt(n))
    c = g.r.choice([lambda: g.weight(m), lambda: g.weight(1, m), lambda: g.scalar(0.5), lambda: g.const(np.float32([0.25])), lambda: g.const(np.float32([[0.75]]))] +
                   ([lambda: ""] if g.opset >= 11 else []))()
    alpha, beta = g.r.choice([1.0, 1.0, 0.5, 0.3]), g.r.choice([1.0, 1.0, 2.0, 0.7])
    return g.node(op, [x, w, c], **g.defaults(alpha=(alpha, 1.0), beta=(beta, 1.0), transA=(ta, 0), transB=(tb, 0)))


@draw("MatMul", ranks=(2, 3, 4))
def matmul(g, x, op):
    n, rank = g.shape(x)[-1], g.rank(x)
    form = g.r.randrange(5)
    if form == 0 and rank >= 3:
        perm = list(range(rank))
        perm[-2:] = perm[:-3:-1]
        return g.node(op, [x, g.node("Transpose", [g.mul(x, 1 / n)], perm=perm)])
    if form == 1 and rank >= 3:
        return g.node(op, [x, g.weight(n, scale=1 / math.sqrt(n))]) if rank > 2 else x
    if form == 2 and rank >= 3:
        return g.node(op, [g.weight(g.r.randrange(2, 5), g.shape(x)[-2], scale=0.5), x])
    if form == 3 and rank >= 4:
        return g.node(op, [x, g.weight(g.shape(x)[1], n, 3, scale=1 / math.sqrt(n))])
    return g.node(op, [x, g.weight(n, g.r.randrange(2, 7), scale=1 / math.sqrt(n))])


@draw("Einsum", ranks=(2, 3, 4))
def einsum(g, x, op):
    shape = g.shape(x)
    n = shape[-1]
    w = lambda: g.weight(n, 3, scale=1 / math.sqrt(n))
    forms = {2: [("bc,cd->bd", w), ("bc,cd", w), ("bc,bd->bcd", lambda: x), ("...c, cd -> ...d", w), ("bc->b c", None)],
             3: [("bij,bkj->bik", lambda: g.mul(x, 1 / n)), ("bij->bji", None), ("bij->bi", None), ("bij,jk->bik", w), ("...j,jk->...k", w),
                 ("bij,i->bj", lambda: g.weight(shape[1])), ("bij,bij->bi", lambda: x), ("bij,jk", w)],
             4: [("bchw,wd->bchd", w), ("bchw->bc", None), ("bchw,bchk->bcwk", lambda: x), ("bchw,c->bhw", lambda: g.weight(shape[1])),
                 ("...w,wd->...d", w), ("bchw,cd->bdhw", lambda: g.weight(shape[1], 3)), ("BCHW->BWCH", None)]}
    equation, second = g.r.choice(forms[len(shape)])
    g.words.append(equation)
    y = g.node(op, [x] + ([second()] if second else []), equation=equation)
    return y if g.rank(y) > 1 else g.unsqueeze(y, [1])


# Windows.


def window(g, x, dilate):
    """Kernel, strides, dilations and pads that fit x, as attributes.

    Left out, since ONNX Runtime's shapes are not the specification's: SAME with dilations, and with strides that leave
    part of the image out.
    """
    sizes = g.shape(x)[2:]
    kernel = [g.r.randint(1, min(3, d)) for d in sizes]
    strides = [g.r.choice([1, 1, 2, 3]) for _ in sizes]
    dilations = [g.r.choice([1, 1, 2]) if dilate and (k - 1) * 2 + 1 <= d else 1 for k, d in zip(kernel, sizes)]
    attributes = {}
    if strides != [1] * len(sizes) or g.chance(0.4):
        attributes["strides"] = strides
    if dilate and (dilations != [1] * len(sizes) or g.chance(0.3)):
        attributes["dilations"] = dilations
    auto = g.r.choice(["NOTSET"] * 4 + ["SAME_UPPER", "SAME_LOWER", "VALID"])
    if max(dilations) > 1 or any(s > k for s, k in zip(strides, kernel)):
        auto = auto.replace("SAME_UPPER", "VALID").replace("SAME_LOWER", "NOTSET")
    if auto != "NOTSET":
        attributes["auto_pad"] = auto
        g.words.append(auto)
    else:
        attributes.update(g.defaults(auto_pad=("NOTSET", "NOTSET")) if g.chance(0.3) else {})
        if g.chance(0.7):
            attributes["pads"] = [g.r.randint(0, k // 2 if g.chance(0.7) else k - 1) for k in kernel * 2]
    return kernel, attributes


@draw("Conv", ranks=(3, 4, 4, 5))
def conv(g, x, op):
    kernel, attributes = window(g, x, True)
    c = g.shape(x)[1]
    group = g.r.choice([k for k in range(1, c + 1) if c % k == 0])
    out = group * g.r.randrange(1, 3)
    w = g.weight(out, c // group, *kernel, scale=1 / math.sqrt(c // group * math.prod(kernel)))
    if g.chance(0.5):
        attributes["kernel_shape"] = kernel
    return g.node(op, [x, w, g.weight(out) if g.chance() else ""], **attributes, **g.defaults(group=(group, 1)))


@draw("ConvTranspose", ranks=(3, 4, 4, 5))
def conv_transpose(g, x, op):
    kernel, attributes = window(g, x, True)
    c, n = g.shape(x)[1], g.rank(x) - 2
    group = g.r.choice([k for k in range(1, c + 1) if c % k == 0])
    out = g.r.randrange(1, 3)
    w = g.weight(c, out, *kernel, scale=1 / math.sqrt(c * math.prod(kernel)))
    if g.chance(0.5):
        attributes["kernel_shape"] = kernel
    strides = attributes.get("strides", [1] * n)
    if g.chance(0.3):
        attributes["output_padding"] = [g.r.randrange(0, max(s, d)) for s, d in zip(strides, attributes.get("dilations", [1] * n))]
    if g.chance(0.3) and attributes.get("auto_pad") != "VALID":
        attributes.pop("pads", None)
        d, more = attributes.get("dilations", [1] * n), attributes.get("output_padding", [0] * n)
        full = [(s - 1) * t + (k - 1) * e + 1 + m for s, t, k, e, m in zip(g.shape(x)[2:], strides, kernel, d, more)]
        attributes["output_shape"] = [max(f - g.r.randint(0, 2), n) for f, n in zip(full, g.shape(x)[2:])]
        g.words.append("output_shape")
    return g.node(op, [x, w, g.weight(out * group) if g.chance() else ""], **attributes, **g.defaults(group=(group, 1)))


@draw("MaxPool AveragePool LpPool", ranks=(3, 4, 4, 5))
def pool(g, x, op):
    dilate = g.opset >= {"MaxPool": 10, "AveragePool": 19, "LpPool": 18}[op]
    kernel, attributes = window(g, x, dilate)
    if g.opset >= {"MaxPool": 10, "AveragePool": 10, "LpPool": 18}[op] and attributes.get("auto_pad", "NOTSET") == "NOTSET":
        ceil = g.r.choice([0, 0, 1])
        if ceil:
            g.words.append("ceil")
        attributes.update(g.defaults(ceil_mode=(ceil, 0)))
    if op == "AveragePool":
        attributes.update(g.defaults(count_include_pad=(g.r.choice([0, 1]), 0)))
    if op == "LpPool":
        attributes.update(g.defaults(p=(g.r.choice([1, 2, 3]), 2)))
    if op == "MaxPool" and g.opset >= 8 and g.chance(0.2):
        order = g.r.choice([0, 1])
        y, at = g.node(op, [x], outputs=2, kernel_shape=kernel, **attributes, **g.defaults(storage_order=(order, 0)))
        g.words.append("indices")
        size = math.prod(g.shape(x)[1:])
        at = g.node("Mod", [at, g.ints([size])]) if g.opset >= 10 else None
        return y if at is None else g.joined(y, g.mul(g.number(at), 1 / size))
    return g.node(op, [x], kernel_shape=kernel, **attributes)


@draw("GlobalAveragePool GlobalMaxPool GlobalLpPool", ranks=(3, 4, 5))
def global_pool(g, x, op):
    attributes = g.defaults(p=(g.r.choice([1, 2, 3]), 2)) if op == "GlobalLpPool" else {}
    y = g.node(op, [x], **attributes)
    return g.joined(x, y) if g.chance(0.6) else y


# Normalization.


def epsilon(g, default=1e-5):
    return g.defaults(epsilon=(g.r.choice([default, 1e-3, 0.0625]), default))


@draw("BatchNormalization", ranks=(2, 3, 4, 5))
def batch_normalization(g, x, op):
    c, attributes = [g.shape(x)[1]], epsilon(g)
    if g.chance(0.3):
        attributes["momentum"] = 0.75
    if g.opset < 9 and g.chance(0.3):
        attributes["spatial"] = 1
    if g.opset >= 14:
        attributes.update(g.defaults(training_mode=(0, 0)))
    return g.node(op, [x, g.weight(*c, low=0.5), g.weight(*c), g.weight(*c), g.weight(*c, low=0.25)], **attributes)


@draw("InstanceNormalization", ranks=(3, 4, 5))
def instance_normalization(g, x, op):
    c = g.shape(x)[1]
    return g.node(op, [x, g.weight(c, low=0.5), g.weight(c)], **epsilon(g))


@draw("GroupNormalization", ranks=(3, 4))
def group_normalization(g, x, op):
    c = g.shape(x)[1]
    groups = g.r.choice([k for k in range(1, c + 1) if c % k == 0])
    n = groups if g.opset < 21 else c
    y = g.values[x].reshape(g.batch, groups, -1)
    if (y.var(2, correction=0) < 0.02 * y.mean(2) ** 2 + 1e-4).any():
        raise Redraw("ONNX Runtime takes the variance as a difference of squares")
    more = g.defaults(stash_type=(1, 1)) if g.opset >= 21 else {}
    return g.node(op, [x, g.weight(n, low=0.5), g.weight(n)], num_groups=groups, **epsilon(g), **more)


@draw("LayerNormalization", ranks=(2, 3, 4))
def layer_normalization(g, x, op):
    a = g.axis(x)
    shape = g.shape(x)[a:]
    attributes = g.defaults(axis=(a, -1), stash_type=(1, 1))
    inputs = [x, g.weight(*shape, low=0.5) if g.chance(0.8) else g.weight(shape[-1], low=0.5), g.weight(*shape) if g.chance(0.7) else ""]
    if g.chance(0.2):
        y, mean, inverse = g.node(op, inputs, outputs=3, **attributes, **epsilon(g))
        return g.joined(y, g.mul(inverse, 0.25)) if g.chance() else g.joined(y, mean)
    return g.node(op, inputs, **attributes, **epsilon(g))


@draw("RMSNormalization", ranks=(2, 3, 4))
def rms_normalization(g, x, op):
    a = g.axis(x)
    return g.node(op, [x, g.weight(*g.shape(x)[a:], low=0.5)], **g.defaults(axis=(a, -1), stash_type=(1, 1)), **epsilon(g))


@draw("MeanVarianceNormalization", ranks=(3, 4))
def mean_variance_normalization(g, x, op):
    if g.chance(0.1):
        c = g.node(op, [g.weight(2, 2, 3, 2)], **({} if g.chance() else {"axes": [0, 2, 3]}))
        return g.node("Mul", [x, total(g, c)])
    rank = g.rank(x)
    axes = g.r.choice([[2, 3][:rank - 2], list(range(1, rank)), [rank - 1]])
    if (g.values[x].var(axes, correction=0) < 1e-3).any():
        raise Redraw("ONNX Runtime has no value for equal values")
    return g.node(op, [x], axes=axes)


@draw("LpNormalization")
def lp_normalization(g, x, op):
    return g.node(op, [x], **g.defaults(axis=(g.axis(x, since=1), -1), p=(g.r.choice([1, 2]), 2)))


@draw("LRN", ranks=(4,))
def lrn(g, x, op):
    size = g.r.choice([1, 3, 3, 5, 7])
    return g.node(op, [x], size=size, **g.defaults(alpha=(g.r.choice([1e-4, 0.5, 0.125]), 1e-4), beta=(g.r.choice([0.75, 0.5, 1.0]), 0.75), bias=(g.r.choice([1.0, 2.0]), 1.0)))


# Quantization.


def quantized(g, x, w):
    """Attributes, and shapes of scale and zero point for a tensor of shape w that x's operator takes along an axis."""
    if g.opset >= 21 and g.chance(0.4):
        axis = g.r.randrange(1 if w[0] == g.batch else 0, len(w))
        block = g.r.randrange(1, w[axis] + 1)
        if len(w) > 1:
            g.words.append("block_size")
            return {"axis": axis - len(w) if g.chance(0.3) else axis, "block_size": block}, [-(-d // block) if i == axis else d for i, d in enumerate(w)]
    if g.opset >= 13 and g.chance(0.5):
        axis = g.r.randrange(1 if w[0] == g.batch else 0, len(w))
        return g.defaults(axis=(axis - len(w) if g.chance(0.3) else axis, 1)), [w[axis]]
    return {}, [1] if g.chance(0.3) else []


@draw("DequantizeLinear")
def dequantize_linear(g, x, op):
    n = g.shape(x)[-1]
    form = g.r.randrange(3)
    kind = g.r.choice([np.int8, np.uint8, np.int8] + ([np.int32] if form else []))
    w = [n, g.r.randrange(2, 6)]
    attributes, shape = quantized(g, x, [d for d in w])
    weights = g.np.integers(0 if kind == np.uint8 else -60, 60, w).astype(kind)
    scale = g.const(np.float32(g.np.integers(1, 5, shape)) / 64)
    zero = g.const(g.np.integers(0, 5, shape).astype(kind)) if g.chance(0.6) and kind != np.int32 else ""
    return g.node("MatMul", [x, g.node(op, [g.const(weights, plain=True), scale, zero], **attributes)])


@draw("QuantizeLinear")
def quantize_linear(g, x, op):
    attributes, shape = quantized(g, x, g.shape(x))
    if "block_size" in attributes:
        attributes, shape = {}, []
    kind = g.r.choice([np.int8, np.uint8] + ([np.int16, np.uint16] if g.opset >= 21 else []))
    scale = g.const(np.float32(g.np.integers(1, 5, shape)) / 16)
    zero = g.const(np.array(g.np.integers(0, 5, shape), kind)) if kind != np.uint8 or g.chance(0.6) else ""
    q = g.node(op, [x, scale, zero], **attributes)
    y = g.node("DequantizeLinear", [q, scale, zero], **attributes)
    return residual(g, x, y)


# Resizing.


@draw("Upsample", ranks=(3, 4, 4))
def upsample(g, x, op):
    mode = g.r.choice(["nearest", "linear"])
    scales = [1.0, 1.0] + [g.r.choice([1.0, 2.0, 1.5, 2.5]) for _ in g.shape(x)[2:]]
    g.words.append(mode)
    attributes = g.defaults(mode=(mode, "nearest"))
    if g.opset < 9:
        return g.node(op, [x], scales=scales, **attributes)
    return g.node(op, [x, g.const(np.float32(scales))], **attributes)


@draw("Resize", ranks=(3, 4, 4, 4, 5))
def resize(g, x, op):
    shape, rank = g.shape(x), g.rank(x)
    mode = g.r.choice(["nearest", "linear"] + (["cubic"] if g.opset >= 11 else []))
    scales = [1.0, 1.0] + [g.r.choice([1.0, 2.0, 1.5, 0.5, 0.75, 0.625, 2.25]) for _ in shape[2:]]
    attributes = g.defaults(mode=(mode, "nearest"))
    g.words.append(mode)
    if g.opset < 11:
        return g.node(op, [x, g.const(np.float32(scales))], **attributes)
    how = g.r.choice(["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize"] +
                     (["tf_half_pixel_for_nn"] if g.opset < 13 else []) + (["half_pixel_symmetric"] if g.opset >= 19 else []))
    g.words.append(how)
    attributes.update(g.defaults(coordinate_transformation_mode=(how, "half_pixel")))
    if mode == "nearest":
        attributes.update(g.defaults(nearest_mode=(g.r.choice(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]), "round_prefer_floor")))
    if mode == "cubic":
        attributes.update(g.defaults(cubic_coeff_a=(g.r.choice([-0.75, -0.5]), -0.75), exclude_outside=(g.r.choice([0, 1]), 0)))
    axes = list(range(rank))
    if g.opset >= 18:
        if mode != "nearest" and how != "tf_crop_and_resize" and g.chance(0.3):
            attributes["antialias"] = 1
            g.words.append("antialias")
        if g.chance(0.4):
            axes = list(range(2, rank))
            if g.chance(0.3):
                g.r.shuffle(axes)
            attributes["axes"] = [a - rank if g.chance(0.3) else a for a in axes]
    target_scales = g.chance(0.5)
    sizes = [shape[a] if a < 2 else g.r.randint(1, 7) for a in axes]
    roi = ""
    if how == "tf_crop_and_resize":
        # ONNX Runtime does not crop an axis that keeps its size.
        keep = [scales[a] == 1 if target_scales else sizes[i] == shape[a] for i, a in enumerate(axes)]
        begin = [0.0 if k else g.r.choice([0.0, 0.125, 0.25, -0.25]) for k in keep]
        end = [1.0 if k else g.r.choice([1.0, 0.75, 1.25]) for k in keep]
        roi = g.const(np.float32(begin + end))
        attributes.update(g.defaults(extrapolation_value=(g.r.choice([0.0, 0.5]), 0.0)))
    elif g.opset < 13:
        roi = g.const(np.zeros(0, np.float32), plain=True)
    empty = g.const(np.zeros(0, np.float32), plain=True) if g.opset < 13 else ""
    if target_scales:
        return g.node(op, [x, roi, g.const(np.float32([scales[a] for a in axes]))], **attributes)
    # ONNX Runtime takes a policy for axes counted from the end as if it were none.
    if g.opset >= 18 and 0 not in axes and min(attributes.get("axes", [-1])) >= 0 and how != "tf_crop_and_resize" and g.chance(0.4):
        attributes["keep_aspect_ratio_policy"] = g.r.choice(["not_larger", "not_smaller"])
        g.words.append(attributes["keep_aspect_ratio_policy"])
    if 0 in axes and g.chance(0.8) or 0 in axes and not g.fixed:
        target = g.node("Concat", [g.dim(x, 0), g.ints(sizes[1:])], axis=0) if g.chance() else \
            g.node("Concat", [g.slice(g.node("Shape", [x]), [0], [2], [0]), g.ints(sizes[2:])], axis=0)
    else:
        target = g.ints(sizes)
    return g.node(op, [x, roi, empty, target], **attributes)


# Whole graphs.

TARGETS = sorted({(op, since(op, o)) for op in DRAWS for o in range(OLDEST, NEWEST + 1) if usable(op, o)})
HEAVY = {"Conv", "Reshape", "Gemm", "MatMul", "Relu", "Add", "MaxPool", "Slice", "Transpose"}


def opsets(target):
    return [o for o in range(OLDEST, NEWEST + 1) if usable(target[0], o) and since(target[0], o) == target[1]]


def candidate(r, target):
    """One draw: graph, input and its values."""
    g = Graph(r, r.choice(opsets(target)))
    rank = r.choice([k for k in RANKS[target[0]]])
    rest = {2: [r.randrange(3, 9)], 3: [r.randrange(2, 5), r.randrange(2, 7)], 4: [r.randrange(1, 5), r.randrange(3, 7), r.randrange(3, 7)],
            5: [r.randrange(1, 3), r.randrange(2, 4), r.randrange(3, 5), r.randrange(2, 5)]}[rank]
    shape = [g.batch] + rest
    values = g.np.normal(0.2, 1, shape) if g.chance(0.6) else g.np.random(shape)
    image = torch.from_numpy(np.round(values, 6).astype(np.float32))
    g.values["x"] = image.double()
    x = "x"
    names = [target[0]]
    pool = [op for op in DRAWS if usable(op, g.opset)]
    for _ in range(r.choice([0, 0, 1, 1, 2, 3, 4, 6])):
        names.insert(r.randrange(len(names) + 1), r.choice(pool))
    drawn, seen = [], [x]
    for op in names:
        ranks = RANKS[op]
        before = x
        x = g.to_rank(x, g.rank(x) if g.rank(x) in ranks else r.choice(ranks))
        y = of_constant(g, x, op) if g.chance(0.1) else DRAWS[op](g, x, op)
        if op in FLAT and g.chance(0.85):
            y = g.node("Add", [y, g.mul(x, 0.5)])
        x = y
        if g.chance(0.15) and g.rank(before) == g.rank(x) and before != x:
            same = [s for s in seen if g.shape(s) == g.shape(x)]
            if same:
                x = g.node(r.choice(["Add", "Mul"]), [x, r.choice(same)])
        if g.rank(x) < 2:
            x = g.unsqueeze(x, [1])
        x = g.tame(x)
        if g.shape(x)[0] != g.batch:
            raise Redraw("batch lost")
        drawn.append(op)
        seen.append(x)
    # The tail.
    if math.prod(g.shape(x)[1:]) > 96:
        rank = g.rank(x)
        inputs, attributes = g.axes("ReduceMean", x, [rank - 1], 18)
        x = g.node("ReduceMean", inputs, keepdims=0, **attributes) if rank > 2 else g.slice(x, [0], [48], [1])
        if math.prod(g.shape(x)[1:]) > 160:
            raise Redraw("too many features")
    x = g.flat(x)
    n, classes = g.shape(x)[1], r.randrange(2, 6)
    form = r.randrange(3)
    if form == 0:
        x = g.node("MatMul", [x, g.weight(n, classes, scale=1 / math.sqrt(n))])
        if g.chance():
            x = g.node("Add", [x, g.weight(classes)])
    else:
        w = g.weight(*((classes, n) if form == 1 else (n, classes)), scale=1 / math.sqrt(n))
        x = g.node("Gemm", [x, w, g.weight(classes)], **g.defaults(transB=(int(form == 1), 0)))
    if g.chance(0.05):
        x = g.node(r.choice(["Softmax", "LogSoftmax"]), [x], **({} if g.chance() else {"axis": 1}))
    return g, image, x, drawn


def of_constant(g, x, op):
    """The operator on a constant, as weights that an exporter did not fold: its values scale x."""
    c, g.first = g.weight(*g.shape(x)), 0
    try:
        y = DRAWS[op](g, c, op)
    finally:
        g.first = 1
    g.words.append("constant")
    y = g.node("Sin", [total(g, y)])
    return g.node("Mul", [x, g.node("Add", [y, g.scalar(1.5)])])


def file_of(g, image, logits):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [g.fixed or "batch"] + list(image.shape)[1:])]
    outputs = [helper.make_tensor_value_info(logits, TensorProto.FLOAT, [g.fixed or "batch", g.shape(logits)[1]])]
    graph = helper.make_graph(g.nodes, "random", inputs, outputs, g.initializers)
    ir = 3 if g.opset < 9 else 4 if g.opset == 9 else 7 if g.opset < 15 else 8 if g.opset < 19 else 10
    if ir == 3:  # weights are inputs too, up to this version of the format
        inputs.extend(helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in g.initializers)
        graph = helper.make_graph(g.nodes, "random", inputs, outputs, g.initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", g.opset)], ir_version=ir, producer_name="random_graphs")


def gradient_of(model, image, dtype):
    """Logits, and the gradient of sum(sin(1 + i) * logits[i]) over the flattened logits."""
    x = image.detach().clone().to(dtype).requires_grad_(True)
    logits = onnx_torch.run(model, {"x": x}, dtype)[0]
    weights = torch.sin(1 + torch.arange(logits.numel(), dtype=torch.float64)).to(dtype)
    total = (logits.reshape(-1) * weights).sum()
    if not total.requires_grad:
        return logits, torch.zeros_like(x)
    gradient = torch.autograd.grad(total, x, allow_unused=True)[0]
    return logits.detach(), torch.zeros_like(x) if gradient is None else gradient


def apart(a, b):
    """The largest difference relative to 1 and the largest value."""
    a, b = a.double(), b.double()
    return float((a - b).abs().max() / (1 + b.abs().max()))


def relative(a, b):
    a, b = a.double(), b.double()
    return float((a - b).abs().max() / b.abs().max().clamp(min=1e-3))


def runtime(model, image):
    """ONNX Runtime's logits. Where it has no newest version of an operator, those of the same file of an older opset."""
    newest = model.opset_import[0].version
    try:
        return run(model, image)
    except Exception as e:
        if "NOT_IMPLEMENTED" not in str(e):
            raise
    for opset in (27, 21):
        if opset < newest:
            older = onnx.ModelProto()
            older.CopyFrom(model)
            older.opset_import[0].version = opset
            try:
                return run(older, image)
            except Exception:
                pass
    raise ValueError("not implemented")


def run(model, image):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"x": image.numpy()})[0])


def attempt(r, target):
    g, image, out, drawn = candidate(r, target)
    model = file_of(g, image, out)
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as e:
        # Two faults of the checker: GroupNormalization-18 is what files have, and of MeanVarianceNormalization all is optional.
        if "deprecated" not in str(e) and "MeanVarianceNormalization" not in str(e):
            raise Redraw("checker: " + tidy(e))
    exact, gradient = gradient_of(model, image, torch.float64)
    if not torch.isfinite(gradient).all() or gradient.abs().max() > 1e5 or exact.abs().max() > 1e4 or not torch.isfinite(exact).all():
        raise Redraw("not finite or large")
    top = float(gradient.abs().max())
    if 0 < top < 1e-3 or top == 0 and not r.random() < 0.1:
        raise Redraw("no gradient")
    single, slope = gradient_of(model, image, torch.float32)
    if apart(single, exact) > 1e-5 or relative(slope, gradient) > 1e-4:
        raise Redraw("ill-conditioned")
    for sign in (1, -1):
        near, slope = gradient_of(model, image.double() * (1 + sign * 1e-6) + sign * 1e-7, torch.float64)
        if apart(near, exact) > 3e-5 or relative(slope, gradient) > 3e-4:
            raise Redraw("at a kink")
    try:
        logits = runtime(model, image)
    except Exception as e:
        raise Redraw("ONNX Runtime: " + tidy(e))
    if not torch.isfinite(logits).all():
        raise Redraw("ONNX Runtime: not finite")
    words = ("/" + ",".join(g.words)) if g.words else ""
    name = "opset %d: %s%s" % (g.opset, ", ".join(drawn), words)
    return {"name": name, "drawn": drawn, "ops": sorted(set(g.ops)), "model": model, "shape": list(image.shape), "image": image, "logits": logits,
            "exact": exact, "gradient": gradient, "apart": apart(logits, exact) if logits.shape == exact.shape else math.inf}


def tidy(e):
    return re.sub(r"\b[a-z]\d+\b", "v", str(e).replace("\n", " "))[:230]


REDRAWN = collections.Counter()


def build(seed):
    """The graph of a seed."""
    r = random.Random(seed)
    target = TARGETS[seed % len(TARGETS)]
    for _ in range(200):
        try:
            return attempt(r, target)
        except Redraw as e:
            REDRAWN[str(e), "%s-%d" % target] += 1
    raise ValueError("no graph for %s-%d in 200 draws" % target)


AGREE = 5e-5


def record(seed, b):
    def floats(t, digits):
        return [float("%.*g" % (digits, v)) for v in t.reshape(-1).tolist()]
    rows = lambda t, digits: [floats(row, digits) for row in t]
    if not b["apart"] <= AGREE:
        return {"seed": seed, "name": b["name"], "error": "interpreter and ONNX Runtime differ by %g" % b["apart"],
                "model": base64.b64encode(b["model"].SerializeToString()).decode()}
    return {"seed": seed, "name": b["name"], "ops": b["ops"], "model": base64.b64encode(b["model"].SerializeToString()).decode(), "shape": b["shape"],
            "x": floats(b["image"], 9), "logits": rows(b["logits"], 8), "exact": rows(b["exact"], 9), "gradient": floats(b["gradient"], 7)}


def answer(seed):
    try:
        return record(seed, build(seed))
    except Exception as e:
        return {"seed": seed, "error": "%s: %s" % (type(e).__name__, tidy(e))}


def serve():
    for line in sys.stdin:
        if line.strip():
            print(json.dumps(answer(int(line)), separators=(",", ":")), flush=True)


def write(n, path):
    """Of many graphs those that together hold the most operators and versions."""
    found = []
    for seed in range(3 * len(TARGETS)):
        a = answer(seed)
        if "error" not in a and len(a["model"]) < 12000:
            found.append(a)
    kept, covered = [], set()
    while found and len(kept) < n:
        best = max(found, key=lambda a: (len(set(a["ops"]) - covered) / (1 + len(json.dumps(a)) / 20000), -a["seed"]))
        found.remove(best)
        kept.append(best)
        covered |= set(best["ops"])
    missing = [t for t in TARGETS if "%s-%d" % t not in covered]
    kept.sort(key=lambda a: a["seed"])
    with open(path, "wb") as f, gzip.GzipFile(filename="", mode="wb", fileobj=f, mtime=0, compresslevel=9) as z:
        z.write(("[" + ",\n".join(json.dumps(a, separators=(",", ":")) for a in kept) + "]\n").encode())
    print("%d graphs; of %d operators in their versions %d are missing: %s" % (len(kept), len(TARGETS), len(missing), missing))


def check(n, first):
    wrong, different, spread = 0, 0, []
    for seed in range(first, first + n):
        try:
            b = build(seed)
        except Exception as e:
            wrong += 1
            print("seed %d: %s: %s" % (seed, type(e).__name__, str(e)[:300]))
            continue
        spread.append(b["apart"])
        if not b["apart"] <= AGREE:
            different += 1
            print("seed %d: differ by %.2g: %s" % (seed, b["apart"], b["name"]))
    reasons = collections.Counter()
    for (reason, op), k in REDRAWN.items():
        reasons[reason] += k
    for reason, k in reasons.most_common(60):
        print("redrawn %5d: %s" % (k, reason))
    print("%d graphs, %d different, %d without a graph; 99%% within %.1g" % (len(spread), different, wrong, sorted(spread)[len(spread) * 99 // 100]))


def coverage(n):
    count, refused = collections.Counter(), 0
    for seed in range(n):
        a = answer(seed)
        count.update(a.get("ops", []))
        refused += "error" in a
    for op in sorted(DRAWS):
        versions = [v for o, v in TARGETS if o == op]
        print("%-26s %s" % (op, "  ".join("%d: %d" % (v, count["%s-%d" % (op, v)]) for v in versions)))
    print("never drawn:", [t for t in TARGETS if not count["%s-%d" % t]], "; errors:", refused)


if __name__ == "__main__":
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command == "serve":
        serve()
    elif command == "write":
        write(int(sys.argv[2]), sys.argv[3])
    elif command == "check":
        check(int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    elif command == "coverage":
        coverage(int(sys.argv[2]) if len(sys.argv) > 2 else 2 * len(TARGETS))
    else:
        sys.exit(__doc__)
