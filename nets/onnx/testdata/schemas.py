"""Writes schemas.json: every operator of ONNX in every version, as the onnx package defines it; and microsoft.json: operators
that ONNX Runtime writes of its own, as it defines them, those of the domain com.microsoft under their full names.

Needs onnx and onnxruntime; the Go tests read the files and need no Python.

    python3 nets/onnx/testdata/schemas.py

The file is {"onnx": version, "opset": newest, "operators": {NAME: [version, ...]}}, versions from old to new. Operators
of ai.onnx have plain names, the few of ai.onnx.ml are "ai.onnx.ml.NAME". A version is

    {"since": 13, "inputs": [min, max], "outputs": [min, max], "deprecated": true,
     "attributes": {NAME: {"type": "INTS", "required": true, "default": ...}},
     "in": [[NAME, OPTION, TYPES], ...], "out": the same}

where what is false or empty is left out, a max of 2147483647 means any number, OPTION is "" (needed), "?" (optional) or
"*" (variadic) and TYPES is an index into "types", a list of lists of type names.
"""
import json
import os

import onnx
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime
from onnx import AttributeProto, defs, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
ML = {"ArrayFeatureExtractor", "Binarizer", "CastMap", "FeatureVectorizer", "Imputer", "LinearClassifier", "LinearRegressor",
      "Normalizer", "Scaler", "SVMClassifier", "TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor",
      "ZipMap"}
MICROSOFT = {"Attention", "MultiHeadAttention", "QAttention", "BiasGelu", "DequantizeLinear", "DynamicQuantizeMatMul", "FastGelu", "FusedConv", "FusedGemm",
             "FusedMatMul", "Gelu", "MatMulIntegerToFloat", "QGemm", "QLinearAdd", "QLinearAveragePool", "QLinearConcat", "QLinearGlobalAveragePool",
             "QLinearLeakyRelu", "QLinearMul", "QLinearSigmoid", "QLinearSoftmax", "QLinearWhere", "QuantizeLinear", "QuickGelu",
             "SkipLayerNormalization", "SkipSimplifiedLayerNormalization"}
EARLY = {("LayerNormalization", 1), ("SimplifiedLayerNormalization", 1)}  # in the standard domain, which does not have them


def plain(value):
    """A default as JSON."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value).tolist()
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return float("%.9g" % value) if isinstance(value, float) else value


def attribute(a):
    out = {"type": a.type.name}
    if a.required:
        out["required"] = True
    if a.default_value.type != AttributeProto.UNDEFINED:
        out["default"] = plain(helper.get_attribute_value(a.default_value))
    return out


class Types:
    """Gives equal lists of types one number."""

    def __init__(self):
        self.lists, self.known = [], {}

    def index(self, types):
        key = tuple(sorted(t[len("tensor("):-1] if t.startswith("tensor(") else t for t in types))
        if key not in self.known:
            self.known[key] = len(self.lists)
            self.lists.append(list(key))
        return self.known[key]


def parameters(formal, types):
    option = {"Single": "", "Optional": "?", "Variadic": "*"}
    return [[p.name, option[p.option.name], types.index(p.types)] for p in formal]


def version(s, types):
    out = {"since": s.since_version, "inputs": [s.min_input, s.max_input], "outputs": [s.min_output, s.max_output],
           "deprecated": s.deprecated, "attributes": {name: attribute(a) for name, a in s.attributes.items()},
           "in": parameters(s.inputs, types), "out": parameters(s.outputs, types)}
    return {k: v for k, v in out.items() if v}


def microsoft():
    """Versions, inputs and types of attributes of ONNX Runtime's operators."""
    operators = {}
    for s in runtime.get_all_operator_schema():
        if s.domain == "com.microsoft" and s.name in MICROSOFT or s.domain == "" and (s.name, s.since_version) in EARLY:
            attributes = {name: {"type": a.type.name} for name, a in s.attributes.items()}
            operators[s.domain + "." * bool(s.domain) + s.name] = [{"since": s.since_version, "inputs": [s.min_input, s.max_input], "attributes": attributes}]
    write("microsoft.json", {"onnxruntime": onnxruntime.__version__}, operators)


def write(name, head, operators):
    """One operator a line: small, and a new release shows as a readable difference."""
    path = os.path.join(HERE, name)
    with open(path, "w") as f:
        rows = ",\n".join(json.dumps(name) + ":" + json.dumps(operators[name], sort_keys=True, separators=(",", ":")) for name in sorted(operators))
        f.write(json.dumps(head, sort_keys=True, separators=(",", ":"))[:-1] + ',"operators":{\n' + rows + "\n}}\n")
    json.load(open(path))
    print(path, os.path.getsize(path), "bytes,", len(operators), "operators")


def main():
    operators, types = {}, Types()
    for s in sorted(defs.get_all_schemas_with_history(), key=lambda s: (s.domain, s.name, s.since_version)):
        if s.domain == "":
            operators.setdefault(s.name, []).append(version(s, types))
        elif s.domain == "ai.onnx.ml" and s.name in ML:
            operators.setdefault("ai.onnx.ml." + s.name, []).append(version(s, types))
    write("schemas.json", {"onnx": onnx.__version__, "opset": defs.onnx_opset_version(), "types": types.lists}, operators)
    microsoft()


if __name__ == "__main__":
    main()
