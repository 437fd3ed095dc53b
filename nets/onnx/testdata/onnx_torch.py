"""An interpreter of ONNX graphs in PyTorch, for what ONNX Runtime does not give: gradients, and values in float64.

Written from the operators' specification, of every version from opset 7 on, and from nothing else: neither the Go importer
nor a converter is asked. random_graphs.py compares its values with ONNX Runtime's.

    outputs = onnx_torch.run(model, {"x": tensor}, dtype=torch.float64)

What has no slope (Floor, comparisons, casts to integers) has gradient zero, as everywhere in PyTorch.
"""
import itertools
import math

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

TYPES = {TensorProto.DOUBLE: torch.float64, TensorProto.FLOAT16: torch.float16, TensorProto.BFLOAT16: torch.bfloat16,
         TensorProto.INT64: torch.int64, TensorProto.INT32: torch.int32, TensorProto.INT16: torch.int16, TensorProto.INT8: torch.int8,
         TensorProto.UINT8: torch.uint8, TensorProto.UINT16: torch.uint16, TensorProto.BOOL: torch.bool}


def run(model, inputs, dtype=torch.float32):
    """The outputs of a model, computed in dtype wherever the file says float32."""
    opset = max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    values = {t.name: tensor(t, dtype) for t in model.graph.initializer}
    values.update({name: x.to(dtype) if x.dtype == torch.float32 else x for name, x in inputs.items()})
    for n in model.graph.node:
        for name, value in zip(n.output, node(n, [values[i] if i else None for i in n.input], opset, dtype)):
            values[name] = value
    return [values[o.name] for o in model.graph.output]


def node(n, inputs, opset, dtype=torch.float32):
    """The outputs of one operator, as a list."""
    while inputs and inputs[-1] is None:
        inputs = inputs[:-1]
    out = OPERATORS[n.op_type](Node(n, opset, dtype), *inputs)
    return list(out) if isinstance(out, (list, tuple)) else [out]


def tensor(t, dtype):
    """A constant of the file."""
    value = torch.from_numpy(np.array(numpy_helper.to_array(t)))
    return value.to(dtype) if t.data_type == TensorProto.FLOAT else value


class Node:
    """One operator: its attributes, and the opset that says what they mean."""

    def __init__(self, n, opset, dtype):
        self.outputs, self.opset, self.dtype = len(n.output), opset, dtype
        self.attributes = {a.name: helper.get_attribute_value(a) for a in n.attribute}

    def __call__(self, name, default=None):
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def type(self, code):
        return self.dtype if code == TensorProto.FLOAT else TYPES[code]


def ints(t):
    return [int(v) for v in t.reshape(-1).tolist()]


OPERATORS = {}


def operator(*names):
    def register(f):
        for name in names:
            OPERATORS[name] = f
        return f
    return register


def plain(**functions):
    """Operators that are one function of their inputs and have no attributes."""
    for name, f in functions.items():
        OPERATORS[name] = (lambda f: lambda c, *x: f(*x))(f)


# Elementwise.

plain(Abs=torch.abs, Acos=torch.acos, Acosh=torch.acosh, Add=torch.add, And=torch.logical_and, Asin=torch.asin, Asinh=torch.asinh,
      Atan=torch.atan, Atanh=torch.atanh, Ceil=torch.ceil, Cos=torch.cos, Cosh=torch.cosh, Equal=torch.eq, Erf=torch.erf, Exp=torch.exp,
      Floor=torch.floor, Greater=torch.gt, GreaterOrEqual=torch.ge, Identity=lambda x: x, IsNaN=torch.isnan, Less=torch.lt,
      LessOrEqual=torch.le, Log=torch.log, Mul=torch.mul, Neg=torch.neg, Not=torch.logical_not, Or=torch.logical_or,
      PRelu=lambda x, slope: torch.where(x < 0, slope * x, x), Reciprocal=torch.reciprocal, Relu=torch.relu,
      Round=torch.round, Sigmoid=torch.sigmoid, Sign=torch.sign, Sin=torch.sin, Sinh=torch.sinh,
      Softplus=lambda x: torch.logaddexp(x, torch.zeros_like(x)), Softsign=lambda x: x / (1 + x.abs()), Sqrt=torch.sqrt, Sub=torch.sub,
      Tan=torch.tan, Tanh=torch.tanh, Xor=torch.logical_xor, Where=torch.where, MatMul=torch.matmul,
      Mish=lambda x: x * torch.tanh(torch.logaddexp(x, torch.zeros_like(x))), HardSwish=lambda x: x * (x / 6 + 0.5).clamp(0, 1),
      Size=lambda x: torch.tensor(x.numel()))


def variadic(f):
    def all_of(c, *xs):
        out = xs[0]
        for x in xs[1:]:
            out = f(out, x)
        return out
    return all_of


OPERATORS["Max"], OPERATORS["Min"], OPERATORS["Sum"] = variadic(torch.maximum), variadic(torch.minimum), variadic(torch.add)


@operator("Mean")
def mean_of(c, *xs):
    return OPERATORS["Sum"](c, *xs) / len(xs)


@operator("Div")
def div(c, a, b):
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


@operator("Mod")
def mod(c, a, b):
    return torch.fmod(a, b) if c("fmod", 0) else torch.remainder(a, b)


@operator("Pow")
def power(c, a, b):
    return torch.pow(a, b.to(a.dtype))


def below(x):
    """The negative half, with the slope of F.elu at 0, which clamp does not have."""
    return torch.where(x > 0, torch.zeros_like(x), x)


@operator("Celu")
def celu(c, x):
    alpha = c("alpha", 1.0)
    return torch.where(x > 0, x, alpha * torch.expm1(below(x) / alpha))


@operator("Elu")
def elu(c, x):
    return torch.where(x > 0, x, c("alpha", 1.0) * torch.expm1(below(x)))


@operator("Selu")
def selu(c, x):
    alpha, gamma = c("alpha", 1.6732632423543772), c("gamma", 1.0507009873554805)
    return gamma * torch.where(x > 0, x, alpha * torch.expm1(below(x)))


@operator("LeakyRelu")
def leaky_relu(c, x):
    return torch.where(x < 0, c("alpha", 0.01) * x, x)


@operator("ThresholdedRelu")
def thresholded_relu(c, x):
    return torch.where(x > c("alpha", 1.0), x, torch.zeros_like(x))


@operator("Shrink")
def shrink(c, x):
    lambd, bias = c("lambd", 0.5), c("bias", 0.0)
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, torch.zeros_like(x)))


@operator("HardSigmoid")
def hard_sigmoid(c, x):
    return (c("alpha", 0.2) * x + c("beta", 0.5)).clamp(0, 1)


@operator("Swish")
def swish(c, x):
    return x * torch.sigmoid(c("alpha", 1.0) * x)


@operator("Gelu")
def gelu(c, x):
    if c("approximate", "none") == "tanh":
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


@operator("Clip")
def clip(c, x, low=None, high=None):
    if c.opset < 11:
        low, high = c("min"), c("max")
    low = low.to(x.dtype) if torch.is_tensor(low) else low
    high = high.to(x.dtype) if torch.is_tensor(high) else high
    return x if low is None and high is None else torch.clamp(x, low, high)


@operator("IsInf")
def is_inf(c, x):
    out = torch.zeros_like(x, dtype=torch.bool)
    if c("detect_negative", 1):
        out = out | torch.isneginf(x)
    if c("detect_positive", 1):
        out = out | torch.isposinf(x)
    return out


@operator("Cast")
def cast(c, x):
    return to_type(x, c.type(c("to")))


@operator("CastLike")
def cast_like(c, x, like):
    return to_type(x, like.dtype)


def to_type(x, dtype):
    return x != 0 if dtype == torch.bool else x.to(dtype)


@operator("Dropout")
def dropout(c, x, ratio=None, training=None):
    assert training is None or not bool(training)
    return x, torch.ones_like(x, dtype=torch.bool if c.opset >= 10 else x.dtype)


# Constants and shapes.


@operator("Constant")
def constant(c):
    if c("value") is not None:
        return tensor(c("value"), c.dtype)
    for name in ("value_float", "value_floats"):
        if c(name) is not None:
            return torch.tensor(c(name), dtype=torch.float32).to(c.dtype)
    for name in ("value_int", "value_ints"):
        if c(name) is not None:
            return torch.tensor(c(name), dtype=torch.int64)
    raise ValueError("Constant without a value")


@operator("ConstantOfShape")
def constant_of_shape(c, shape):
    value = c("value")
    value = torch.zeros(1, dtype=c.dtype) if value is None else tensor(value, c.dtype)
    return value.reshape(()).expand(ints(shape)).clone()


@operator("EyeLike")
def eye_like(c, x):
    rows, columns = x.shape
    dtype = x.dtype if c("dtype") is None else c.type(c("dtype"))
    return (torch.arange(columns)[None, :] - torch.arange(rows)[:, None] == c("k", 0)).to(dtype)


@operator("Range")
def arange(c, start, limit, delta):
    n = max(math.ceil((limit.item() - start.item()) / delta.item()), 0)
    return start.reshape(()) + torch.arange(n).to(start.dtype) * delta.reshape(())


@operator("Shape")
def shape_of(c, x):
    rank = x.dim()
    start, end = [min(max(v + rank if v < 0 else v, 0), rank) for v in (c("start", 0), c("end", rank))]
    return torch.tensor(list(x.shape)[start:max(start, end)], dtype=torch.int64)


@operator("Reshape")
def reshape(c, x, shape):
    shape = ints(shape)
    if not c("allowzero", 0):
        shape = [x.shape[i] if d == 0 else d for i, d in enumerate(shape)]
    return x.reshape(shape)


@operator("Flatten")
def flatten(c, x):
    axis = c("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@operator("Expand")
def expand(c, x, shape):
    return x.expand(torch.broadcast_shapes(x.shape, ints(shape)))


@operator("Tile")
def tile(c, x, repeats):
    return x.repeat(ints(repeats))


@operator("Transpose")
def transpose(c, x):
    return x.permute(c("perm", list(range(x.dim()))[::-1]))


@operator("Squeeze")
def squeeze(c, x, axes=None):
    axes = ints(axes) if axes is not None else c("axes") if c.opset < 13 else None
    drop = {i for i, d in enumerate(x.shape) if d == 1} if axes is None else {a % x.dim() for a in axes}
    return x.reshape([d for i, d in enumerate(x.shape) if i not in drop])


@operator("Unsqueeze")
def unsqueeze(c, x, axes=None):
    axes = ints(axes) if c.opset >= 13 else c("axes")
    rank = x.dim() + len(axes)
    new, old = {a % rank for a in axes}, iter(x.shape)
    return x.reshape([1 if i in new else next(old) for i in range(rank)])


@operator("Concat")
def concat(c, *xs):
    return torch.cat(xs, c("axis", 1))


@operator("Split")
def split(c, x, sizes=None):
    axis = c("axis", 0)
    sizes = ints(sizes) if sizes is not None else c("split") if c.opset < 13 else None
    if sizes is None:
        parts = c("num_outputs", c.outputs) if c.opset >= 18 else c.outputs
        size = -(-x.shape[axis] // parts)
        sizes = [size] * (parts - 1) + [x.shape[axis] - size * (parts - 1)]
    return torch.split(x, sizes, axis)


@operator("Slice")
def slice_of(c, x, starts=None, ends=None, axes=None, steps=None):
    if c.opset < 10:
        starts, ends, axes = c("starts"), c("ends"), c("axes")
    else:
        starts, ends, axes = ints(starts), ints(ends), ints(axes) if axes is not None else None
    steps = ints(steps) if steps is not None else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes if axes is not None else range(len(starts)), steps):
        x = x.index_select(axis, torch.tensor(range(x.shape[axis])[start:end:step], dtype=torch.int64))  # Python's slices clamp alike
    return x


@operator("Pad")
def pad(c, x, pads=None, value=None, axes=None):
    mode = c("mode", "constant")
    if c.opset < 11:
        pads, value = c("pads", c("paddings")), c("value", 0.0)
    else:
        pads, value = ints(pads), 0 if value is None else value.item()
    axes = [a % x.dim() for a in ints(axes)] if axes is not None else list(range(x.dim()))
    for i, axis in enumerate(axes):
        before, after = pads[i], pads[i + len(axes)]
        # Negative widths take away first, which the other side then repeats.
        x = x.narrow(axis, max(-before, 0), x.shape[axis] + min(before, 0) + min(after, 0))
        n = x.shape[axis]
        places = range(-max(before, 0), n + max(after, 0))
        if mode == "constant":
            source = [p if 0 <= p < n else n for p in places]
            fill = torch.full_like(x.narrow(axis, 0, 1), value)
            x = torch.cat([x, fill], axis)
        elif mode == "edge":
            source = [min(max(p, 0), n - 1) for p in places]
        elif mode == "reflect":
            source = [mirror(p, n) for p in places]
        else:
            source = [p % n for p in places]
        x = x.index_select(axis, torch.tensor(source, dtype=torch.int64))
    return x


def mirror(p, n):
    if n == 1:
        return 0
    p %= 2 * (n - 1)
    return p if p < n else 2 * (n - 1) - p


@operator("DepthToSpace")
def depth_to_space(c, x):
    b, channels, h, w = x.shape
    s = c("blocksize")
    if c("mode", "DCR") == "DCR":
        return x.reshape(b, s, s, channels // s ** 2, h, w).permute(0, 3, 4, 1, 5, 2).reshape(b, channels // s ** 2, h * s, w * s)
    return x.reshape(b, channels // s ** 2, s, s, h, w).permute(0, 1, 4, 2, 5, 3).reshape(b, channels // s ** 2, h * s, w * s)


@operator("SpaceToDepth")
def space_to_depth(c, x):
    b, channels, h, w = x.shape
    s = c("blocksize")
    return x.reshape(b, channels, h // s, s, w // s, s).permute(0, 3, 5, 1, 2, 4).reshape(b, channels * s ** 2, h // s, w // s)


@operator("Trilu")
def trilu(c, x, k=None):
    k = 0 if k is None else int(k)
    return torch.triu(x, k) if c("upper", 1) else torch.tril(x, k)


# Gathering and scattering.


def wrap(index, n):
    return torch.where(index < 0, index + n, index).long()


@operator("Gather")
def gather(c, x, index):
    axis = c("axis", 0) % x.dim()
    out = x.index_select(axis, wrap(index, x.shape[axis]).reshape(-1))
    return out.reshape(x.shape[:axis] + index.shape + x.shape[axis + 1:])


@operator("GatherElements")
def gather_elements(c, x, index):
    axis = c("axis", 0)
    return torch.gather(x, axis, wrap(index, x.shape[axis]))


@operator("GatherND")
def gather_nd(c, x, index):
    b = c("batch_dims", 0)
    batches = list(itertools.product(*[range(d) for d in x.shape[:b]]))
    out = []
    for at in batches:
        data, rows = x[at], index[at]
        out.append(data[tuple(wrap(rows[..., i], data.shape[i]) for i in range(rows.shape[-1]))])
    return torch.stack(out).reshape(x.shape[:b] + out[0].shape)


@operator("Scatter", "ScatterElements")
def scatter_elements(c, x, index, updates):
    axis, reduction = c("axis", 0) % x.dim(), c("reduction", "none")
    index = wrap(index, x.shape[axis])
    at = [torch.arange(d).reshape([-1 if i == j else 1 for j in range(index.dim())]).expand(index.shape) for i, d in enumerate(index.shape)]
    at[axis] = index
    return scatter(x, at, updates, reduction)


@operator("ScatterND")
def scatter_nd(c, x, index, updates):
    width = index.shape[-1]
    at = [wrap(index[..., i], x.shape[i]) for i in range(width)]
    rest = x.shape[width:]
    lead = index.dim() - 1
    at = [a.reshape(a.shape + (1,) * len(rest)).expand(a.shape + rest) for a in at]
    for i, d in enumerate(rest):
        at.append(torch.arange(d).reshape([1] * (lead + i) + [-1] + [1] * (len(rest) - 1 - i)).expand(index.shape[:-1] + rest))
    return scatter(x, at, updates, c("reduction", "none"))


def scatter(x, at, updates, reduction):
    """Puts updates at places, one index tensor per axis. Repeated places: the last wins, or all are reduced."""
    flat = torch.zeros_like(at[0])
    for i, d in enumerate(x.shape):
        flat = flat * d + at[i]
    flat, values, out = flat.reshape(-1), updates.reshape(-1), list(x.reshape(-1).unbind())
    for i, place in enumerate(flat.tolist()):
        old, new = out[place], values[i]
        out[place] = {"none": lambda: new, "add": lambda: old + new, "mul": lambda: old * new, "max": lambda: torch.maximum(old, new),
                      "min": lambda: torch.minimum(old, new)}[reduction]()
    return torch.stack(out).reshape(x.shape)


@operator("OneHot")
def one_hot(c, index, depth, values):
    n, axis = int(depth), c("axis", -1)
    index = index.long()
    index = torch.where(index < 0, index + n, index) if c.opset >= 11 else index
    axis = axis % (index.dim() + 1)
    places = torch.arange(n).reshape([-1 if i == axis else 1 for i in range(index.dim() + 1)])
    return torch.where(index.unsqueeze(axis) == places, values[1], values[0])


@operator("TopK")
def top_k(c, x, k=None):
    k = c("k") if c.opset < 10 else int(k)
    axis = c("axis", -1)
    values, at = torch.sort(x, dim=axis, descending=bool(c("largest", 1)), stable=True)  # of equal values the first
    return values.narrow(axis, 0, k), at.narrow(axis, 0, k)


# Reductions.


@operator("ArgMax")
def arg_max(c, x):
    axis = c("axis", 0)
    if c("select_last_index", 0):
        out = x.shape[axis] - 1 - torch.argmax(x.flip(axis), axis, keepdim=True)
    else:
        out = torch.argmax(x, axis, keepdim=True)
    return out if c("keepdims", 1) else out.squeeze(axis)


@operator("ArgMin")
def arg_min(c, x):
    return arg_max(c, -x)


def reduction(name, since, f):
    """since: the opset from which axes are an input."""
    def reduce(c, x, axes=None):
        axes = (ints(axes) if axes is not None else None) if c.opset >= since else c("axes")
        if not axes:
            if c.opset >= since and c("noop_with_empty_axes", 0):
                return f(x, [], True)
            axes = range(x.dim())
        return f(x, [a % x.dim() for a in axes], bool(c("keepdims", 1)))
    OPERATORS[name] = reduce


def total(x, axes, keep):
    return x.sum(axes, keepdim=keep) if axes else x


def product(x, axes, keep):
    for a in sorted(axes, reverse=True):
        x = x.prod(a, keepdim=keep)
    return x


reduction("ReduceSum", 13, total)
reduction("ReduceL1", 18, lambda x, axes, keep: total(x.abs(), axes, keep))
reduction("ReduceL2", 18, lambda x, axes, keep: total(x * x, axes, keep).sqrt())
reduction("ReduceLogSum", 18, lambda x, axes, keep: total(x, axes, keep).log())
reduction("ReduceLogSumExp", 18, lambda x, axes, keep: torch.logsumexp(x, axes, keepdim=keep) if axes else x)
reduction("ReduceMax", 18, lambda x, axes, keep: extreme(torch.amax, x, axes, keep))
reduction("ReduceMin", 18, lambda x, axes, keep: extreme(torch.amin, x, axes, keep))
reduction("ReduceMean", 18, lambda x, axes, keep: x.mean(axes, keepdim=keep) if axes else x)
reduction("ReduceProd", 18, product)
reduction("ReduceSumSquare", 18, lambda x, axes, keep: total(x * x, axes, keep))


def extreme(f, x, axes, keep):
    return f(x, axes, keepdim=keep) if axes else x


@operator("CumSum")
def cum_sum(c, x, axis):
    axis = int(axis)
    x = x.flip(axis) if c("reverse", 0) else x
    out = x.cumsum(axis) - (x if c("exclusive", 0) else 0)
    return out.flip(axis) if c("reverse", 0) else out


def rows(c, f):
    """Softmax and its like: over one axis, before opset 13 over all axes from that one on."""
    def over(c, x):
        if c.opset >= 13:
            return f(x, c("axis", -1))
        axis = c("axis", 1) % x.dim()
        return f(x.reshape(math.prod(x.shape[:axis]), -1), 1).reshape(x.shape)
    return over


OPERATORS["Softmax"] = rows(None, torch.softmax)
OPERATORS["LogSoftmax"] = rows(None, torch.log_softmax)
OPERATORS["Hardmax"] = rows(None, lambda x, axis: torch.zeros_like(x).scatter(axis, x.argmax(axis, keepdim=True), 1))


# Products.


@operator("Gemm")
def gemm(c, a, b, bias=None):
    a, b = a.t() if c("transA", 0) else a, b.t() if c("transB", 0) else b
    out = c("alpha", 1.0) * (a @ b)
    return out if bias is None else out + c("beta", 1.0) * bias


@operator("Einsum")
def einsum(c, *xs):
    return torch.einsum(c("equation"), *xs)


# Windows. All are built from windows(): pad, unfold every axis.


def same_pads(upper, sizes, kernel, strides, dilations):
    """The pads with which each axis gets ceil(size/stride) windows."""
    begin, end = [], []
    for n, k, s, d in zip(sizes, kernel, strides, dilations):
        needed = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        small = needed // 2
        begin.append(small if upper else needed - small)
        end.append(needed - small if upper else small)
    return begin + end


def window_pads(c, sizes, kernel, strides, dilations):
    auto = c("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        return same_pads(auto == "SAME_UPPER", sizes, kernel, strides, dilations)
    return [0] * (2 * len(sizes)) if auto == "VALID" else c("pads", [0] * (2 * len(sizes)))


def torch_pads(pads):
    """ONNX's [begins, ends] as F.pad takes them: pairs, last axis first."""
    n = len(pads) // 2
    return [v for i in reversed(range(n)) for v in (pads[i], pads[i + n])]


def windows(c, x, fill):
    """[batch, channels, places..., window], and how many entries of each window lie within the image and its pads."""
    sizes, kernel = list(x.shape[2:]), c("kernel_shape")
    n = len(kernel)
    strides, dilations = c("strides", [1] * n), c("dilations", [1] * n)
    pads = window_pads(c, sizes, kernel, strides, dilations)
    ceil = c("ceil_mode", 0) and c("auto_pad", "NOTSET") in ("NOTSET", "")
    extra = []
    counted = F.pad(torch.ones_like(x), torch_pads(pads), value=1.0)
    x = F.pad(x, torch_pads(pads), value=fill)
    for i in range(n):
        room, reach = x.shape[2 + i] - ((kernel[i] - 1) * dilations[i] + 1), strides[i]
        places = (-(-room // reach) if ceil else room // reach) + 1
        if ceil and (places - 1) * reach >= sizes[i] + pads[i]:  # a window must not start in the pads at the end
            places -= 1
        extra.append(max((places - 1) * reach - room, 0))
    ends = torch_pads([0] * n + extra)
    x, counted = F.pad(x, ends, value=fill), F.pad(counted, ends, value=0.0)

    def unfold(t):
        for i in range(n):
            t = t.unfold(2 + i, (kernel[i] - 1) * dilations[i] + 1, strides[i])
        t = t[(...,) + tuple(slice(None, None, d) for d in dilations)]
        return t.reshape(t.shape[:2 + n] + (-1,))
    return unfold(x), unfold(counted)


@operator("MaxPool")
def max_pool(c, x):
    n, sizes = x.dim() - 2, x.shape[2:]
    w, _ = windows(c, x, -math.inf)
    best = w.detach().argmax(-1, keepdim=True)  # of equal values the first
    y = w.gather(-1, best).squeeze(-1)
    if c.outputs < 2:
        return y
    order = torch.arange(x.numel()).reshape(x.shape)
    if c("storage_order", 0):
        order = torch.arange(x.numel()).reshape(x.shape[:2] + tuple(sizes)[::-1]).permute([0, 1] + list(range(2, 2 + n))[::-1])
    places, _ = windows(c, order.double(), -1.0)
    return y, places.gather(-1, best).squeeze(-1).long()


@operator("AveragePool")
def average_pool(c, x):
    w, counted = windows(c, x, 0.0)
    if c("count_include_pad", 0):
        return w.sum(-1) / counted.sum(-1)
    inside, _ = windows(c, torch.ones_like(x), 0.0)
    return w.sum(-1) / inside.sum(-1)


@operator("LpPool")
def lp_pool(c, x):
    p = c("p", 2)
    w, _ = windows(c, x, 0.0)
    return norm(w, p, [-1], False)


def norm(x, p, axes, keep):
    return x.abs().sum(axes, keepdim=keep) if p == 1 else (x.abs() ** p).sum(axes, keepdim=keep) ** (1.0 / p)


def places(x):
    return list(range(2, x.dim()))


plain(GlobalAveragePool=lambda x: x.mean(places(x), keepdim=True), GlobalMaxPool=lambda x: x.amax(places(x), keepdim=True))


@operator("GlobalLpPool")
def global_lp_pool(c, x):
    return norm(x, c("p", 2), places(x), True)


@operator("Conv")
def conv(c, x, w, bias=None):
    n = x.dim() - 2
    strides, dilations = c("strides", [1] * n), c("dilations", [1] * n)
    pads = window_pads(c, x.shape[2:], w.shape[2:], strides, dilations)
    x = F.pad(x, torch_pads(pads))
    return [F.conv1d, F.conv2d, F.conv3d][n - 1](x, w, bias, strides, 0, dilations, c("group", 1))


@operator("ConvTranspose")
def conv_transpose(c, x, w, bias=None):
    n = x.dim() - 2
    strides, dilations, more = c("strides", [1] * n), c("dilations", [1] * n), c("output_padding", [0] * n)
    auto, pads, shape = c("auto_pad", "NOTSET"), c("pads", [0] * (2 * n)), c("output_shape")
    full = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d][n - 1](x, w, None, strides, 0, 0, c("group", 1), dilations)
    full = F.pad(full, torch_pads([0] * n + list(more)))
    if auto == "VALID":
        pads = [0] * (2 * n)
    if shape is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        shape = [d * s for d, s in zip(x.shape[2:], strides)]
    if shape is not None:
        over = [d - want for d, want in zip(full.shape[2:], shape[-n:])]
        small, large = [t // 2 for t in over], [t - t // 2 for t in over]
        pads = small + large if auto == "SAME_UPPER" else large + small
    out = F.pad(full, torch_pads([-p for p in pads]))
    return out if bias is None else out + bias.reshape([-1] + [1] * n)


# Normalization.


def channels(v, x):
    """One value per channel, to broadcast over [batch, channels, ...]."""
    return v.reshape([1, -1] + [1] * (x.dim() - 2))


def standard(x, axes, epsilon):
    centred = x - x.mean(axes, keepdim=True)
    return centred / ((centred * centred).mean(axes, keepdim=True) + epsilon).sqrt()


@operator("BatchNormalization")
def batch_normalization(c, x, scale, bias, mean, var):
    if c("training_mode", 0):
        axes = [i for i in range(x.dim()) if i != 1]
        keep = c("momentum", 0.9)
        y = standard(x, axes, c("epsilon", 1e-5)) * channels(scale, x) + channels(bias, x)
        now = x.mean(axes), x.var(axes, unbiased=False)
        return [y] + [old * keep + new * (1 - keep) for old, new in zip((mean, var), now)]
    if c.opset < 9 and not c("spatial", 1):
        scale, bias, mean, var = [v.reshape((1,) + x.shape[1:]) for v in (scale, bias, mean, var)]
    elif x.dim() > 1:
        scale, bias, mean, var = [channels(v, x) for v in (scale, bias, mean, var)]
    return (x - mean) / (var + c("epsilon", 1e-5)).sqrt() * scale + bias


@operator("InstanceNormalization")
def instance_normalization(c, x, scale, bias):
    return standard(x, places(x), c("epsilon", 1e-5)) * channels(scale, x) + channels(bias, x)


@operator("GroupNormalization")
def group_normalization(c, x, scale, bias):
    groups, epsilon = c("num_groups"), c("epsilon", 1e-5)
    y = standard(x.reshape(x.shape[0], groups, -1), [2], epsilon).reshape(x.shape)
    if c.opset < 21:
        scale, bias = [v.repeat_interleave(x.shape[1] // groups) for v in (scale, bias)]
    return y * channels(scale, x) + channels(bias, x)


@operator("LayerNormalization")
def layer_normalization(c, x, scale, bias=None):
    axis, epsilon = c("axis", -1) % x.dim(), c("epsilon", 1e-5)
    axes = list(range(axis, x.dim()))
    mean = x.mean(axes, keepdim=True)
    inverse = 1 / (((x - mean) ** 2).mean(axes, keepdim=True) + epsilon).sqrt()
    y = (x - mean) * inverse * scale
    return (y if bias is None else y + bias), mean, inverse


@operator("RMSNormalization")
def rms_normalization(c, x, scale):
    axes = list(range(c("axis", -1) % x.dim(), x.dim()))
    return x / ((x * x).mean(axes, keepdim=True) + c("epsilon", 1e-5)).sqrt() * scale


@operator("MeanVarianceNormalization")
def mean_variance_normalization(c, x):
    axes = c("axes", [0, 2, 3])
    mean = x.mean(axes, keepdim=True)
    return (x - mean) / (((x - mean) ** 2).mean(axes, keepdim=True).sqrt() + 1e-9)


@operator("LpNormalization")
def lp_normalization(c, x):
    return x / norm(x, c("p", 2), [c("axis", -1)], True)


@operator("LRN")
def lrn(c, x):
    size, n = c("size"), x.shape[1]
    before, after = (size - 1) // 2, -(-(size - 1) // 2)
    square = x * x
    sums = torch.stack([square[:, max(i - before, 0):i + after + 1].sum(1) for i in range(n)], 1)
    return x / (c("bias", 1.0) + c("alpha", 1e-4) / size * sums) ** c("beta", 0.75)


# Quantization.


def along(v, x, c):
    """A scale or zero point: one value, one per slice of an axis, or one per block of an axis."""
    if v is None or v.numel() == 1 and v.dim() < 2:
        return v if v is None else v.reshape(())
    axis, block = c("axis", 1) % x.dim(), c("block_size", 0)
    if block:
        return v.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])
    return v.reshape([-1 if i == axis else 1 for i in range(x.dim())])


@operator("DequantizeLinear")
def dequantize_linear(c, x, scale, zero=None):
    scale, zero = along(scale, x, c), along(zero, x, c)
    x = x.to(scale.dtype)
    return (x if zero is None else x - zero.to(x.dtype)) * scale


def staircase(y, zero, dtype):
    """Integers, as floats, with the slopes of PyTorch's fake quantization: 1 inside the range, 0 outside."""
    limits = torch.iinfo(dtype)
    whole = torch.round(y.detach()) + zero
    inside = (whole >= limits.min) & (whole <= limits.max)
    slope = torch.where(inside, y, y.detach())
    return whole.clamp(limits.min, limits.max) + (slope - slope.detach())


@operator("QuantizeLinear")
def quantize_linear(c, x, scale, zero=None):
    scale, zero = along(scale, x, c), along(zero, x, c)
    dtype = zero.dtype if zero is not None else TYPES[c("output_dtype", 0) or TensorProto.UINT8]
    return staircase(x / scale, torch.zeros(()) if zero is None else zero.to(x.dtype), dtype)


@operator("DynamicQuantizeLinear")
def dynamic_quantize_linear(c, x):
    low, high = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = (high - low) / 255
    zero = torch.round((-low / scale).clamp(0, 255)).detach()
    return staircase(x / scale, zero, torch.uint8), scale, zero


def less(x, zero, rank=0):
    """Integers less their zero point, of which there is one, or one for each place of the first axis of so many."""
    if zero is None:
        return x.float()
    return x.float() - zero.float().reshape([-1] + [1] * (rank - 1) if rank and zero.numel() > 1 else zero.shape if zero.numel() > 1 else ())


@operator("MatMulInteger")
def matmul_integer(c, a, b, za=None, zb=None):
    return less(a, za, 2) @ less(b, zb)


@operator("QLinearMatMul")
def qlinear_matmul(c, a, sa, za, b, sb, zb, sy, zy):
    y = less(a, za, 2) @ less(b, zb) * (sa.reshape(-1, 1) if sa.numel() > 1 else sa.reshape(())) * (sb if sb.numel() > 1 else sb.reshape(()))
    return staircase(y / sy, zy.float(), zy.dtype)


@operator("ConvInteger")
def conv_integer(c, x, w, zx=None, zw=None):
    return conv(c, less(x, zx), less(w, zw, w.dim()))


@operator("QLinearConv")
def qlinear_conv(c, x, sx, zx, w, sw, zw, sy, zy, bias=None):
    y = conv(c, less(x, zx), less(w, zw, w.dim()), None if bias is None else bias.float())
    scale = sx * sw / sy
    return staircase(y * (scale.reshape([-1] + [1] * (w.dim() - 2)) if scale.numel() > 1 else scale.reshape(())), zy.float(), zy.dtype)


# Of ONNX Runtime's quantizer, in its format QOperator: an operator between dequantization and quantization.


def quantized(result):
    """Registers what f computes of dequantized operands; the scale and zero point of the result are the inputs from result on."""
    def register(name, f, first=0):
        def of(c, *x):
            end = len(x) if result < first else result
            y = f(c, *x[:first * (result > 0)], *[less(x[i], x[i + 2]) * x[i + 1].reshape(()) for i in range(first, end, 3)])
            scale, zero = x[result:result + 2]
            return staircase(y / scale.reshape(()), zero.float().reshape(()), zero.dtype)
        OPERATORS[name] = of
    return register


quantized(6)("QLinearAdd", lambda c, a, b: a + b)
quantized(6)("QLinearMul", lambda c, a, b: a * b)
quantized(3)("QLinearAveragePool", average_pool)
quantized(0)("QLinearConcat", concat, first=2)
quantized(3)("QLinearGlobalAveragePool", lambda c, x: OPERATORS["GlobalAveragePool"](c, x))
quantized(3)("QLinearLeakyRelu", lambda c, x: torch.where(x > 0, x, c("alpha", 0.01) * x))
quantized(3)("QLinearSigmoid", lambda c, x: torch.sigmoid(x))
quantized(3)("QLinearSoftmax", lambda c, x: torch.softmax(x, c("axis", -1)) if c("opset") >= 13 else
             torch.softmax(x.flatten(c("axis", -1) % x.dim()), -1).reshape(x.shape))
quantized(7)("QLinearWhere", lambda c, condition, a, b: torch.where(condition, a, b), first=1)


@operator("QGemm")
def qgemm(c, a, sa, za, b, sb, zb, bias=None, sy=None, zy=None):
    a, b = less(a, za), less(b.t() if c("transB", 0) else b, zb)
    y = ((a.t() if c("transA", 0) else a) @ b + (0 if bias is None else bias.float())) * (c("alpha", 1.0) * sa * sb)
    return y if sy is None else staircase(y / sy, zy.float(), zy.dtype)


@operator("MatMulIntegerToFloat")
def matmul_integer_to_float(c, a, b, sa, sb, za=None, zb=None, bias=None):
    return less(a, za) @ less(b, zb) * (sa * sb) + (0 if bias is None else bias)


@operator("DynamicQuantizeMatMul")
def dynamic_quantize_matmul(c, a, b, sb, zb=None, bias=None):
    a, sa, za = dynamic_quantize_linear(c, a)
    return matmul_integer_to_float(c, a, b, sa, sb, za, zb, bias)


# Attention as ONNX Runtime fuses it: [batch, times, heads·values].


@operator("MultiHeadAttention")
def multi_head_attention(c, q, k, v, bias=None, mask=None, added=None):
    parts = [q, k, v] if bias is None else [x + b for x, b in zip((q, k, v), bias.split([q.shape[-1], k.shape[-1], v.shape[-1]]))]
    q, k, v = [x.reshape(*x.shape[:2], c("num_heads"), -1).transpose(1, 2) for x in parts]
    scores = q @ k.transpose(2, 3) * (c("scale", 0.0) or q.shape[-1] ** -0.5) + (0 if added is None else added)
    if c("unidirectional", 0):
        scores = scores.masked_fill(torch.ones(scores.shape[2:]).triu(1).bool(), -math.inf)
    return (torch.softmax(scores, -1) @ v).transpose(1, 2).flatten(2)


def projected(c, x, added=None):
    return multi_head_attention(c, *x.split(c("qkv_hidden_sizes") or x.shape[-1] // 3, -1), added=added)


@operator("Attention")  # not the standard one
def projected_attention(c, x, w, bias=None, mask=None, past=None, added=None):
    return projected(c, x @ w + (0 if bias is None else bias), added)


@operator("QAttention")
def qattention(c, x, w, bias, sx, sw, mask=None, zx=None, zw=None):
    return projected(c, matmul_integer_to_float(c, x, w, sx, sw, zx, zw, bias))


# Resizing: a matrix [out, in] of weights per axis.


@operator("Upsample")
def upsample(c, x, scales=None):
    scales = c("scales") if c.opset < 9 else scales.tolist()
    c.attributes.update(coordinate_transformation_mode="asymmetric", nearest_mode="floor", mode=c("mode", "nearest"))
    for axis, scale in enumerate(scales):
        x = resize_axis(c, x, axis, float(scale), int(x.shape[axis] * scale), (0, 1))
    return x


@operator("Resize")
def resize(c, x, *inputs):
    if c.opset < 11:
        # Of version 10 the text does not say which value is nearest: ONNX Runtime takes the next one where it shrinks.
        c.attributes.update(coordinate_transformation_mode="asymmetric", nearest_mode="floor or ceil")
        inputs = (None,) + inputs
    roi, scales, sizes = [v if v is not None and v.numel() else None for v in (tuple(inputs) + (None,) * 3)[:3]]
    axes = [a % x.dim() for a in (c("axes") or range(x.dim()))]
    if sizes is not None:
        sizes = ints(sizes)
        scales = [np.float32(s) / np.float32(x.shape[a]) for a, s in zip(axes, sizes)]
        policy = c("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            scale = min(scales) if policy == "not_larger" else max(scales)
            scales, sizes = [scale] * len(axes), [math.floor(float(scale) * x.shape[a] + 0.5) for a in axes]
    else:
        scales = scales.tolist()
        sizes = [math.floor(x.shape[a] * s) for a, s in zip(axes, scales)]
    roi = [0.0] * len(axes) + [1.0] * len(axes) if roi is None else roi.tolist()
    crop = c("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    outside = []
    for i, axis in enumerate(axes):
        region = roi[i], roi[i + len(axes)]
        if crop:
            at = coordinates(c, x.shape[axis], sizes[i], scales[i], region)
            outside.append((axis, torch.from_numpy((at < 0) | (at > x.shape[axis] - 1))))
        x = resize_axis(c, x, axis, float(scales[i]), sizes[i], region)
    for axis, out in outside:
        x = torch.where(out.reshape([-1 if i == axis else 1 for i in range(x.dim())]), torch.tensor(c("extrapolation_value", 0.0), dtype=x.dtype), x)
    return x


DOUBTS = []  # of resizing to the nearest: places so near the middle between two that rounding decides


def coordinates(c, n, out, scale, region, kind=np.float32):
    """Where in an axis of length n the out values come from."""
    mode, at = c("coordinate_transformation_mode", "half_pixel"), np.arange(out, dtype=kind)
    scale, half = kind(scale), kind(0.5)
    if mode == "half_pixel":
        return (at + half) / scale - half
    if mode == "half_pixel_symmetric":
        adjustment = kind(out) / (scale * kind(n))
        return kind(n) / 2 * (1 - adjustment) + (at + half) / scale - half
    if mode == "pytorch_half_pixel":
        return (at + half) / scale - half if out > 1 else np.zeros_like(at)
    if mode == "align_corners":
        return at * kind(n - 1) / kind(out - 1) if out > 1 else np.zeros_like(at)
    if mode == "tf_half_pixel_for_nn":
        return (at + half) / scale
    if mode == "tf_crop_and_resize":
        start, end = kind(region[0]), kind(region[1])
        if out > 1:
            return start * kind(n - 1) + at * (end - start) * kind(n - 1) / kind(out - 1)
        return np.full_like(at, half * (start + end) * kind(n - 1))
    assert mode == "asymmetric", mode
    return at / scale


def resize_axis(c, x, axis, scale, out, region):
    n = x.shape[axis]
    if scale == 1 and out == n and c("coordinate_transformation_mode") != "tf_crop_and_resize":
        return x
    at = coordinates(c, n, out, scale, region)
    if c("mode", "nearest") == "nearest":
        precise = coordinates(c, n, out, out / n if abs(scale - out / n) < 1e-6 else scale, region, np.float64)
        edge = 0.5 if c("nearest_mode", "round_prefer_floor").startswith("round") else 0.0
        for a, b in zip(at, precise):
            if abs(b - edge - round(b - edge)) < 1e-4 and (float(a) != b or c("coordinate_transformation_mode") == "half_pixel_symmetric"):
                DOUBTS.append((axis, a, b))
    weights = torch.from_numpy(resize_weights(c, n, out, scale, at)).to(x.dtype)
    return torch.movedim(torch.tensordot(weights, x, dims=([1], [axis])), 0, axis)


def resize_weights(c, n, out, scale, at):
    """[out, in]: how much of each value goes into which."""
    mode, weights = c("mode", "nearest"), np.zeros((out, n))
    if mode == "nearest":
        nearest = {"round_prefer_floor": lambda v: math.ceil(v - 0.5), "round_prefer_ceil": lambda v: math.floor(v + 0.5),
                   "floor": math.floor, "ceil": math.ceil, "floor or ceil": math.ceil if scale < 1 else math.floor}[c("nearest_mode", "round_prefer_floor")]
        for i, v in enumerate(at):
            weights[i, min(max(nearest(float(v)), 0), n - 1)] = 1
        return weights
    stretch = scale if c("antialias", 0) and scale < 1 else 1.0
    a, reach = c("cubic_coeff_a", -0.75), 2 if mode == "cubic" else 1

    def kernel(d):
        d = abs(d)
        if mode == "linear":
            return max(1 - d, 0.0)
        if d <= 1:
            return (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1
        return a * d ** 3 - 5 * a * d ** 2 + 8 * a * d - 4 * a if d < 2 else 0.0

    for i, v in enumerate(at):
        v = float(v)
        if mode == "linear" and stretch == 1:
            v = min(max(v, 0.0), n - 1.0)
        places = range(math.floor(v - reach / stretch), math.ceil(v + reach / stretch) + 1)
        taps = [(p, kernel((v - p) * stretch)) for p in places]
        if c("exclude_outside", 0):
            taps = [(p, t) for p, t in taps if 0 <= p < n]
        whole = sum(t for _, t in taps)
        for p, t in taps:
            weights[i, min(max(p, 0), n - 1)] += t / whole
    return weights
