"""Makes windows.json.gz: one small classifier for each way that ONNX has to resize, convolve, pool and normalize images.

Needs onnx, onnxruntime and numpy; running the Go tests needs none of them.

    python3 nets/onnx/testdata/make_windows.py

A classifier is one operator, flattened and multiplied to three classes; the batch axis is dynamic unless its name ends in
"fixed". For each: the file (base64), two images, ONNX Runtime's logits without optimizations, and the gradient of the sum
over classes i of sin(1+i) times logit i, by the images. Resizing, convolving and averaging are linear, and the gradient is
what ONNX Runtime itself answers to images of a single pixel, exactly. For the others it comes from central differences
of ONNX Runtime's answers, extrapolated; where maxima are taken the pixels lie so far apart that none overtakes another.

Files that are not supported say why: each has a part of the error message, and whether ONNX Runtime refuses them as well
is checked here. ONNX Runtime has no Gemm before opset 7, where most operators still have their first version.
"""
import base64
import gzip
import itertools
import json
import os

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = 2
onnxruntime.set_default_logger_severity(4)
cases = []


def grid(rng, *shape):
    """Random sixteenths, which are short in a file."""
    return (rng.integers(-16, 17, shape) / 16).astype(np.float32)


def model(op, opset, inputs, attributes, shape, fixed, outputs, rng):
    """The file: op of x and of constants (None: left out), Flatten, Gemm."""
    constants, names = [], ["x"]
    for i, value in enumerate(inputs):
        names.append("" if value is None else f"c{i}")
        if value is not None:
            constants.append(numpy_helper.from_array(value, names[-1]))
    while names[-1] == "":
        names.pop()
    constants += [numpy_helper.from_array(grid(rng, outputs, 3), "w"), numpy_helper.from_array(grid(rng, 3), "b")]
    nodes = [helper.make_node(op, names, ["y"], name=op, **attributes), helper.make_node("Flatten", ["y"], ["f"]),
             helper.make_node("Gemm", ["f", "w", "b"], ["logits"])]
    batch = 1 if fixed else "n"
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *shape])],
                              [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 3])], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 19 else 10)


def session(file, output=None):
    if output:
        file = onnx.ModelProto.FromString(file.SerializeToString())
        del file.graph.node[1:]
        file.graph.output[0].CopyFrom(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(file.SerializeToString(), options, providers=["CPUExecutionProvider"])


def answers(file, fixed):
    run = session(file).run
    if fixed:
        return lambda x: np.concatenate([run(None, {"x": x[i:i + 1]})[0] for i in range(len(x))]).astype(np.float64)
    return lambda x: run(None, {"x": x})[0].astype(np.float64)


def gradient(ask, x, linear):
    """d sum_i sin(1+i) logits_i / dx of one example."""
    weights = np.sin(1 + np.arange(3))
    basis = np.eye(x.size, dtype=np.float32).reshape(-1, *x.shape)
    if linear:
        return ((ask(basis) - ask(np.zeros_like(basis))) @ weights).reshape(x.shape)

    def differences(h):
        return (ask(x + h * basis) - ask(x - h * basis)) @ weights / (2 * h)
    return ((4 * differences(np.float32(1 / 64)) - differences(np.float32(1 / 32))) / 3).reshape(x.shape)


def case(name, op, opset, inputs=(), shape=(2, 5, 6), linear=True, refused="", runtime=True, **attributes):
    """Adds a file. refused: a part of the reason; runtime: whether ONNX Runtime takes it."""
    rng = np.random.default_rng(len(cases))
    fixed = name.endswith("fixed")
    inputs = [None if i is None else np.asarray(i) for i in inputs]
    entry = {"name": f"{op}_{opset}_{name}".lower()}
    assert entry["name"] not in [c["name"] for c in cases], entry["name"]
    cases.append(entry)
    x = rng.permutation(EXAMPLES * int(np.prod(shape))).reshape(EXAMPLES, *shape).astype(np.float32)
    x = (x - x.size // 2) / 16
    try:
        outputs = int(np.prod(session(model(op, opset, inputs, attributes, shape, fixed, 1, rng), "y").run(None, {"x": x[:1]})[0].shape))
        file = model(op, opset, inputs, attributes, shape, fixed, outputs, rng)
        ask = answers(file, fixed)
        logits = ask(x)
    except Exception as e:
        if runtime:
            raise RuntimeError(f"{entry['name']}: {e}") from e
        file = model(op, opset, inputs, attributes, shape, fixed, 1, rng)
    else:
        assert runtime, f"{entry['name']}: ONNX Runtime takes it"
    entry["model"] = base64.b64encode(file.SerializeToString()).decode()
    if refused:
        entry["refused"] = refused
        return
    entry["shape"] = list(x.shape)
    entry["x"] = x.ravel().tolist()
    entry["logits"] = [[float(f"{v:.6g}") for v in row] for row in logits]
    grad = np.stack([gradient(ask, e, linear) for e in x[:1 if linear else EXAMPLES]])
    entry["gradient"] = [float(f"{v:.4g}") for v in grad.ravel()]  # of all examples alike where linear


def scales(*s):
    return np.array(s, np.float32)


def lengths(*s):
    return np.array(s, np.int64)


NONE = np.array([], np.float32)


def resizes():
    # Every mode with every coordinate, enlarged on one side and shrunk on the other by scales that leave fractions.
    coordinates = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn"]
    for c in coordinates:
        for r in ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]:
            case(f"nearest_{c}_{r}", "Resize", 11, [NONE, scales(1, 1, 1.7, 0.6)], mode="nearest",
                 coordinate_transformation_mode=c, nearest_mode=r)
        for m in ["linear", "cubic"]:
            case(f"{m}_{c}", "Resize", 11, [NONE, scales(1, 1, 1.7, 0.6)], mode=m, coordinate_transformation_mode=c)
    for m, r in itertools.chain(itertools.product(["nearest"], ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
                                [("linear", "floor"), ("cubic", "floor")]):
        case(f"{m}_symmetric_{r}", "Resize", 19, [None, scales(1, 1, 1.7, 0.6)], mode=m,
             coordinate_transformation_mode="half_pixel_symmetric", nearest_mode=r)
        region = scales(0, 0, 0.2, -0.3, 1, 1, 0.9, 1.2)
        case(f"{m}_crop_{r}", "Resize", 13, [region, scales(1, 1, 0.8, 1.5)], mode=m, nearest_mode=r,
             coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=1.5)
    case("crop_same", "Resize", 13, [scales(0, 0, 0.2, 0.1, 1, 1, 0.9, 0.8), scales(1, 1, 1, 1)], mode="linear",
         coordinate_transformation_mode="tf_crop_and_resize")
    case("crop_axes", "Resize", 18, [scales(0.2, 0.1, 0.9, 0.8), None, lengths(4, 7)], mode="linear", axes=[2, 3],
         coordinate_transformation_mode="tf_crop_and_resize")
    case("crop_one", "Resize", 13, [scales(0, 0, 0.2, 0.1, 1, 1, 0.9, 0.8), scales(1, 1, 0.2, 2)], mode="linear",
         coordinate_transformation_mode="tf_crop_and_resize")
    case("crop_antialias", "Resize", 18, [scales(0.2, -0.1, 0.9, 0.8), None, lengths(3, 7)], mode="linear", axes=[2, 3], antialias=1,
         coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=2.0)
    # Scales by which a side keeps its length, or has a length that rounding decides; one pixel.
    for m in ["nearest", "linear", "cubic"]:
        case(f"{m}_kept", "Resize", 13, [None, scales(1, 1, 1.1, 1.1)], mode=m)
        case(f"{m}_kept_one", "Resize", 13, [None, scales(1, 1, 1.1, 2)], mode=m)
        case(f"{m}_to_one", "Resize", 13, [None, scales(1, 1, 0.2, 0.3)], mode=m, coordinate_transformation_mode="pytorch_half_pixel")
        case(f"{m}_from_one", "Resize", 13, [None, scales(1, 1, 3, 2.5)], (2, 1, 2), mode=m, coordinate_transformation_mode="align_corners")
        case(f"{m}_sizes", "Resize", 13, [None, None, lengths(1, 2, 7, 4)], mode=m, refused="resizes the batch", runtime=m == "nearest")
        case(f"{m}_sizes_fixed", "Resize", 13, [None, None, lengths(1, 2, 7, 4)], mode=m)
        case(f"{m}_double", "Resize", 13, [None, scales(1, 1, 2, 2)], mode=m)
        case(f"{m}_half", "Resize", 13, [None, scales(1, 1, 0.5, 0.5)], (2, 6, 8), mode=m, coordinate_transformation_mode="asymmetric")
        case("" + m + "_last", "Resize", 13, [None, scales(1, 1.5, 2, 1)], (3, 4, 2), mode=m)
    case("channels", "Resize", 13, [None, scales(1, 2, 1.5, 0.5)], mode="nearest")
    for s, shape in enumerate([(2, 7), (2, 5, 6), (1, 3, 4, 5)]):
        by = scales(1, 1, 1.6, 0.6, 1.3)[:3 + s]
        case(f"nearest_{s + 1}_sides", "Resize", 13, [None, by], shape, mode="nearest")
        case(f"linear_{s + 1}_sides", "Resize", 13, [None, by], shape, mode="linear")
        case(f"linear_{s + 1}_sides_up", "Resize", 13, [None, scales(1, 1, 2, 2, 2)[:3 + s]], shape, mode="linear")
        case(f"linear_{s + 1}_sides_align", "Resize", 19, [None, by], shape, mode="linear", coordinate_transformation_mode="align_corners")
    case("cubic_a", "Resize", 11, [NONE, scales(1, 1, 1.7, 0.6)], mode="cubic", cubic_coeff_a=-0.5)
    case("cubic_outside", "Resize", 11, [NONE, scales(1, 1, 1.7, 0.6)], mode="cubic", exclude_outside=1)
    case("cubic_crop_outside", "Resize", 13, [scales(0, 0, 0.2, 0.1, 1, 1, 0.9, 0.8), scales(1, 1, 1.7, 0.6)], mode="cubic",
         exclude_outside=1, coordinate_transformation_mode="tf_crop_and_resize")
    for m, opset in itertools.product(["linear", "cubic"], [18, 19]):
        for outside in [0, 1]:
            case(f"{m}_antialias_{outside}", "Resize", opset, [None, scales(1, 1, 0.4, 0.6)], (1, 10, 9), mode=m, antialias=1,
                 exclude_outside=outside)
    case("antialias_up", "Resize", 18, [None, scales(1, 1, 1.6, 0.3)], (1, 5, 11), mode="linear", antialias=1)
    case("antialias_align", "Resize", 18, [None, scales(1, 1, 0.5, 0.3)], (1, 6, 11), mode="cubic", antialias=1, cubic_coeff_a=-0.5,
         coordinate_transformation_mode="align_corners")
    case("antialias_asymmetric", "Resize", 18, [None, scales(1, 1, 0.5, 0.3)], (1, 6, 11), mode="linear", antialias=1,
         coordinate_transformation_mode="asymmetric")
    case("antialias_3_sides", "Resize", 18, [None, scales(1, 1, 0.5, 0.4, 0.6)], (1, 4, 6, 5), mode="linear", antialias=1)
    case("antialias_last", "Resize", 18, [None, scales(1, 0.5, 0.4, 1)], (6, 7, 2), mode="cubic", antialias=1)
    case("antialias_kept", "Resize", 18, [None, None, lengths(5, 3)], mode="linear", antialias=1, axes=[2, 3])
    for policy, m in itertools.product(["stretch", "not_larger", "not_smaller"], ["nearest", "linear", "cubic"]):
        case(f"{policy}_{m}", "Resize", 18, [None, None, lengths(7, 11)], mode=m, axes=[2, 3], keep_aspect_ratio_policy=policy)
    case("not_larger_symmetric", "Resize", 19, [None, None, lengths(7, 11)], mode="linear", axes=[2, 3],
         keep_aspect_ratio_policy="not_larger",
         coordinate_transformation_mode="half_pixel_symmetric")
    case("axes", "Resize", 18, [None, scales(2, 0.5)], mode="linear", axes=[3, 2])
    case("axes_one", "Resize", 19, [None, None, lengths(4)], mode="nearest", axes=[3])
    for m in ["nearest", "linear"]:
        case(f"{m}_up", "Resize", 10, [scales(1, 1, 1.7, 2)], mode=m)
        case(f"{m}_down", "Resize", 10, [scales(1, 1, 0.7, 0.5)], mode=m)
        case(f"{m}_double", "Resize", 10, [scales(1, 1, 2, 2)], mode=m)
        case(f"{m}", "Upsample", 7, mode=m, scales=[1.0, 1.0, 1.7, 2.0])
        case(f"{m}_double", "Upsample", 7, mode=m, scales=[1.0, 1.0, 2.0, 2.0])
        case(f"{m}", "Upsample", 9, [scales(1, 1, 2.3, 3)], mode=m)
        case(f"{m}_1_side", "Upsample", 9, [scales(1, 1, 2.3)], (2, 5), mode=m)
    case("linear_3_sides", "Upsample", 9, [scales(1, 1, 2, 1.5, 1)], (1, 3, 4, 2), mode="linear")
    # What is refused.
    case("up", "Upsample", 10, [scales(1, 1, 2, 2)], mode="nearest", refused="no Upsample any more", runtime=False)
    case("down", "Upsample", 9, [scales(1, 1, 0.5, 2)], mode="nearest", refused="at least 1", runtime=False)
    case("cubic", "Upsample", 9, [scales(1, 1, 2, 2)], mode="cubic", refused="mode \"cubic\" is none of version 9")
    case("cubic", "Resize", 10, [scales(1, 1, 2, 2)], mode="cubic", refused="mode \"cubic\" is none of version 10")
    case("mode", "Resize", 13, [None, scales(1, 1, 2, 2)], mode="area", refused="mode \"area\"", runtime=False)
    case("coordinate", "Resize", 13, [None, scales(1, 1, 2, 2)], coordinate_transformation_mode="x", refused="\"x\"", runtime=False)
    case("round", "Resize", 13, [None, scales(1, 1, 1.5, 2)], nearest_mode="x", refused="\"x\"", runtime=False)
    case("policy", "Resize", 18, [None, None, lengths(7, 11)], axes=[2, 3], keep_aspect_ratio_policy="x", refused="\"x\"", runtime=False)
    case("antialias", "Resize", 18, [None, scales(1, 1, 2, 2)], mode="nearest", antialias=1, refused="antialias with mode nearest",
         runtime=False)
    case("outside", "Resize", 13, [None, scales(1, 1, 2, 2)], mode="linear", exclude_outside=1,
         refused="exclude_outside with mode linear", runtime=False)
    case("both", "Resize", 13, [None, scales(1, 1, 2, 2), lengths(1, 2, 10, 12)], refused="4 scales and 4 sizes", runtime=False)
    case("nothing", "Resize", 13, [None, scales(1, 1, 0.1, 2)], refused="leaves nothing")
    case("no_region", "Resize", 11, [NONE, scales(1, 1, 2, 2)], coordinate_transformation_mode="tf_crop_and_resize", refused="roi",
         runtime=False)


def convolutions():
    rng = np.random.default_rng(99)
    shapes = [(4, 7), (4, 5, 6), (4, 3, 4, 3)]

    def both(name, op, kernel, shape, opset=11, **attributes):
        """With a bias for the outputs, whose number comes before or behind that of the inputs."""
        outputs = kernel[0] if op == "Conv" else kernel[1] * attributes.get("group", 1)
        case(name, op, opset, [grid(rng, *kernel), grid(rng, outputs)], shape, **attributes)

    for op, opset in itertools.product(["Conv", "ConvTranspose"], [7, 11, 22]):
        for sides, shape in enumerate(shapes, 1):
            both(f"{sides}_sides", op, (4, 4) + (3, 2, 2)[:sides], shape, opset, strides=(2, 1, 2)[:sides], pads=((1, 0, 1) + (0, 1,
                 1))[:sides] + (1, 0, 1)[:sides])
    for sides, shape in enumerate(shapes, 1):
        for op in ["Conv", "ConvTranspose"]:
            two = (4, 2) if op == "Conv" else (4, 3)
            both(f"{sides}_groups", op, two + (2, 3, 2)[:sides], shape, group=2)
            both(f"{sides}_depthwise", op, (4, 1) + (3, 2, 2)[:sides], shape, group=4, strides=(2,) * sides)
            both(f"{sides}_dilated", op, (4, 4) + (2, 3, 2)[:sides], shape, dilations=(2, 1, 2)[:sides], pads=(1,) * 2 * sides)
            both(f"{sides}_dilated_strided", op, two + (2, 2, 2)[:sides], shape, group=2, dilations=(2, 3, 1)[:sides], strides=(2, 3,
                 2)[:sides], pads=(1,) * 2 * sides)
            for auto in ["SAME_UPPER", "SAME_LOWER", "VALID"]:
                both(f"{sides}_{auto}", op, (4, 4) + (3, 2, 2)[:sides], shape, auto_pad=auto, strides=(2, 1, 1)[:sides])
        both(f"{sides}_output_padding", "ConvTranspose", (4, 2) + (3, 3, 3)[:sides], shape, strides=(3, 2, 2)[:sides], output_padding=(2,
             1, 1)[:sides], pads=(1,) * 2 * sides)
        both(f"{sides}_output_shape", "ConvTranspose", (4, 2) + (3, 3, 3)[:sides], shape, strides=(3, 2, 2)[:sides], output_shape=[(20,),
             (14, 12), (8, 8, 6)][sides - 1])
        both(f"{sides}_cropped", "ConvTranspose", (4, 2) + (2, 2, 2)[:sides], shape, pads=(2, 1, 1)[:sides] + (1, 2, 0)[:sides],
             strides=(2,) * sides)
    both("far", "Conv", (2, 4, 2, 2), shapes[1], pads=(3, 2, 2, 4))
    both("tiles", "Conv", (3, 4, 2, 3), shapes[1], strides=(2, 3))
    both("tiles", "ConvTranspose", (4, 3, 2, 3), shapes[1], strides=(2, 3))
    both("apart", "ConvTranspose", (4, 3, 1, 2), shapes[1], strides=(3, 3))
    both("same_even", "ConvTranspose", (4, 2, 4, 4), shapes[1], strides=(2, 3), auto_pad="SAME_UPPER")
    both("same_small", "ConvTranspose", (4, 2, 2, 2), shapes[1], strides=(3, 3), auto_pad="SAME_LOWER")
    both("same_adjusted", "ConvTranspose", (4, 2, 3, 3), shapes[1], strides=(2, 2), output_padding=(1, 1), auto_pad="SAME_LOWER")
    both("shape_upper", "ConvTranspose", (4, 2, 3, 3), shapes[1], strides=(2, 2), output_shape=(10, 12), auto_pad="SAME_UPPER")
    both("shape_larger", "ConvTranspose", (4, 2, 3, 3), shapes[1], strides=(2, 2), output_shape=(12, 14))
    case("no_bias", "ConvTranspose", 11, [grid(rng, 4, 2, 3, 3)], shapes[1], kernel_shape=(3, 3))


def pools():
    shapes = [(2, 7), (2, 6, 7), (1, 4, 5, 4)]
    for op, newest in [("MaxPool", 22), ("AveragePool", 22), ("LpPool", 22)]:
        linear = op == "AveragePool"
        for sides, shape in enumerate(shapes, 1):
            kernel, strides, pads = (3, 2, 2)[:sides], (2, 3, 1)[:sides], (1, 0, 1)[:sides] + (0, 1, 1)[:sides]
            more = {"p": 3} if op == "LpPool" and sides == 2 else {}
            for opset in {"MaxPool": [7, 8, 10, 11, 12, 22], "AveragePool": [7, 10, 11, 19, 22], "LpPool": [7, 11, 18, 22]}[op]:
                case(f"{sides}_sides", op, opset, (), shape, linear, kernel_shape=kernel, strides=strides, pads=pads, **more)
            for auto in ["SAME_UPPER", "SAME_LOWER", "VALID"]:
                case(f"{sides}_{auto}", op, 11, (), shape, linear, kernel_shape=kernel, strides=strides, auto_pad=auto, **more)
            case(f"{sides}_tiles", op, 11, (), shape, linear, kernel_shape=(2,) * sides, strides=(2,) * sides, **more)
            case(f"{sides}_dilated", op, newest, (), shape, linear, kernel_shape=(2,) * sides, dilations=(3, 2, 2)[:sides],
                 pads=(1,) * 2 * sides, **more)
            case(f"{sides}_ceil", op, newest, (), shape, linear, kernel_shape=kernel, strides=(3, 2, 2)[:sides], pads=pads, ceil_mode=1,
                 **more)
            case(f"{sides}_ceil_dilated", op, newest, (), shape, linear, kernel_shape=(2,) * sides, strides=(2, 3, 2)[:sides],
                 dilations=(2,) * sides,
                 pads=(1,) * 2 * sides, ceil_mode=1, **more)
        case("larger", op, newest, (), (2, 3, 4), linear, kernel_shape=(4, 3), strides=(2, 2), ceil_mode=1)
        case("border", op, newest, (), (2, 5, 5), linear, kernel_shape=(2, 2), strides=(2, 2), pads=(1, 1, 1, 1), ceil_mode=1)
    for sides, shape in enumerate(shapes, 1):
        for ceil, dilation in itertools.product([0, 1], [1, 2]):
            case(f"{sides}_count_{ceil}_{dilation}", "AveragePool", 19, (), shape, kernel_shape=(3, 3, 2)[:sides], strides=(2,) * sides,
                 dilations=(dilation,) * sides,
                 pads=(1,) * 2 * sides, ceil_mode=ceil, count_include_pad=1)
        case(f"{sides}_count_same", "AveragePool", 11, (), shape, kernel_shape=(3, 2, 2)[:sides], strides=(2,) * sides,
             auto_pad="SAME_LOWER", count_include_pad=1)
        case(f"{sides}", "GlobalMaxPool", 7, (), shape, False)
        case(f"{sides}", "GlobalAveragePool", 7, (), shape)
        case(f"{sides}", "GlobalLpPool", 7, (), shape, False, p=1 + sides)
        case(f"{sides}_ceil_same", "MaxPool", 12, (), shape, False, kernel_shape=(3, 2, 2)[:sides], strides=(2,) * sides,
             auto_pad="SAME_UPPER", ceil_mode=1)
        case(f"{sides}_same_dilated", "MaxPool", 12, (), shape, False, kernel_shape=(2,) * sides, dilations=(2,) * sides,
             auto_pad="SAME_LOWER",
             refused="pads less than the format says")
    case("p1", "LpPool", 22, (), shapes[1], False, kernel_shape=(2, 3), p=1)
    case("global", "GlobalMaxPool", 22, (), shapes[1], False)
    case("overlap", "MaxPool", 22, (), shapes[1], False, kernel_shape=(3, 3), pads=(1, 1, 1, 1))


def norms():
    rng = np.random.default_rng(98)
    for size, opset in [(3, 7), (5, 13)]:
        case(f"{size}", "LRN", opset, (), (6, 2, 3), False, size=size, alpha=0.5, beta=0.6, bias=2.0)
    case("default", "LRN", 13, (), (6, 2, 3), False, size=1)
    for sides, shape in enumerate([(4, 5), (4, 2, 3), (4, 2, 2, 2)], 1):
        for opset in [7, 22]:
            case(f"{sides}_sides", "InstanceNormalization", opset, [grid(rng, 4), grid(rng, 4)], shape, False, epsilon=1e-2)
        case(f"{sides}_sides", "GroupNormalization", 18, [grid(rng, 2), grid(rng, 2)], shape, False, num_groups=2, epsilon=1e-2)
        case(f"{sides}_sides", "GroupNormalization", 21, [grid(rng, 4), grid(rng, 4)], shape, False, num_groups=2, epsilon=1e-2)


if __name__ == "__main__":
    resizes()
    convolutions()
    pools()
    norms()
    with open(os.path.join(HERE, "windows.json.gz"), "wb") as f, gzip.GzipFile("", "wb", 9, f, mtime=0) as z:
        z.write(json.dumps(cases, separators=(",", ":")).encode())
    print(len(cases), "cases,", sum("refused" in c for c in cases), "refused,", os.path.getsize(os.path.join(HERE, "windows.json.gz")),
         "bytes")
