"""Exports a network with random weights, and what ONNX Runtime and PyTorch make of it.

zoo.py list                   prints names and exporters, a pair a line
zoo.py export NAME EXPORTER FOLDER [double]
                              writes model.onnx, x.npy, y.npy, logits.npy (ONNX Runtime), gradient.npy (PyTorch in double
                              precision, of the summed cross-entropy by x) and about.json; EXPORTER is torchscript or dynamo for
                              torchvision's and timm's, keras and skl2onnx for the others; with double, a network, but for
                              scikit-learn's, converts its images and computes in double precision

Keras runs on PyTorch here, whose gradients its networks then have. Those of scikit-learn, trained on digits, are central
differences.
"""

import json
import os
import sys
import time
import warnings

import numpy as np

BATCH = 8
STEPS = 1

TORCHVISION = """alexnet vgg11_bn resnet18 resnet50 resnext50_32x4d wide_resnet50_2 squeezenet1_1 densenet121 googlenet inception_v3
shufflenet_v2_x1_0 mobilenet_v2 mobilenet_v3_large mnasnet1_0 efficientnet_b0 efficientnet_v2_s regnet_x_400mf regnet_y_400mf
convnext_tiny vit_b_16 swin_t swin_v2_t maxvit_t""".split()
TIMM = """beit_base_patch16_224 deit3_small_patch16_224 cait_xxs24_224 xcit_nano_12_p16_224 pit_ti_224 levit_128s mixer_s32_224
resmlp_12_224 convmixer_768_32 poolformer_s12 nf_resnet26 eca_nfnet_l0 ghostnet_100 repvgg_a0 hrnet_w18_small mobilevit_xs
mobilevitv2_050 efficientformer_l1 coatnet_0_rw_224 eva02_tiny_patch14_224 hiera_tiny_224 crossvit_9_240 twins_svt_small
visformer_tiny dla34 res2net50_14w_8s gmlp_ti16_224 tnt_s_patch16_224 edgenext_xx_small fastvit_t8 convnextv2_atto
mobilenetv4_conv_small pvt_v2_b0 volo_d1_224 tf_efficientnet_lite0""".split()

KERAS = "MobileNetV2 ResNet50V2 EfficientNetB0 DenseNet121 Xception ConvNeXtTiny".split()
SKLEARN = "LogisticRegression MLPClassifier LinearSVC LinearDiscriminantAnalysis RandomForestClassifier".split()
EXPORTERS = {"torchvision": ["torchscript", "dynamo"], "timm": ["torchscript", "dynamo"], "keras": ["keras"], "sklearn": ["skl2onnx"]}


def build(name):
    import timm
    import torch
    import torchvision

    torch.manual_seed(1)
    family, model = name.split("/")
    if family == "keras":
        net = build_keras(model)
        return net, net.input_shape[1]
    if family == "torchvision":
        extra = {"init_weights": True} if model in ("googlenet", "inception_v3") else {}
        net = getattr(torchvision.models, model)(weights=None, **extra)
        side = 299 if model == "inception_v3" else 224
    else:
        net = timm.create_model(model, pretrained=False, exportable=True)
        side = timm.data.resolve_model_data_config(net)["input_size"][-1]
    net.eval()
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, torch.nn.modules.batchnorm._BatchNorm):
                m.running_mean.normal_(0, 0.1)
                m.running_var.uniform_(0.5, 1.5)
        for key, p in net.named_parameters():
            # Fresh scales and last layers are zeros or nearly so: half of the network would not count.
            if p.abs().max() < 1e-3:
                p.normal_(0, 0.05) if p.dim() > 1 else p.uniform_(0.3, 0.6)
    return net, side


def build_keras(model):
    import keras

    keras.utils.set_random_seed(1)
    net = getattr(keras.applications, model)(weights=None, classifier_activation=None)
    for layer in net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            rng = np.random.default_rng(len(mean))
            layer.set_weights([gamma, beta, rng.normal(0, 0.1, mean.shape), rng.uniform(0.5, 1.5, variance.shape)])
        elif "layer_scale" in layer.name:  # nothing of the blocks would count
            layer.set_weights([np.full_like(w, 0.5) for w in layer.get_weights()])
    return net


def doubled(net, name):
    if not name.startswith("keras/"):
        return net.double()
    import keras

    keras.config.set_dtype_policy("float64")  # its layers convert what they are given
    other = build_keras(name.split("/")[1])
    other.set_weights(net.get_weights())
    return other


def in_double(net, name):
    if name.startswith("keras/"):
        return doubled(net, name)
    import torch

    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net.double()

        def forward(self, x):
            return self.net(x.double())

    return Wrapped().eval()


def in_runtime(path, x):
    """The float output of ONNX Runtime that is no label."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(path, options)
    return session.run(None, {session.get_inputs()[0].name: x})[-1]


def save(folder, x, y, logits, gradient, about):
    np.save(os.path.join(folder, "x.npy"), x)
    np.save(os.path.join(folder, "y.npy"), y)
    np.save(os.path.join(folder, "logits.npy"), logits)
    np.save(os.path.join(folder, "gradient.npy"), gradient)
    with open(os.path.join(folder, "about.json"), "w") as f:
        json.dump(about, f)


def export_sklearn(name, folder):
    """Digits in [0, 1], 64 pixels each; what it puts out is taken for logits, as an attack takes it."""
    import sklearn.datasets
    import sklearn.discriminant_analysis
    import sklearn.ensemble
    import sklearn.linear_model
    import sklearn.neural_network
    import sklearn.svm
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    model = name.split("/")[1]
    kinds = [sklearn.linear_model, sklearn.neural_network, sklearn.svm, sklearn.discriminant_analysis, sklearn.ensemble]
    make = next(getattr(kind, model) for kind in kinds if hasattr(kind, model))
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    x = x / 16
    net = make().fit(x[8:], y[8:])
    x, y = np.abs(x[:8] - 1 / 64).astype(np.float32), y[:8]  # between the thresholds of trees: differences would jump there
    path = os.path.join(folder, "model.onnx")
    options = {id(net): {"zipmap": False}} if hasattr(net, "predict_proba") else None
    with open(path, "wb") as f:
        f.write(convert_sklearn(net, initial_types=[("x", FloatTensorType([None, 64]))], options=options).SerializeToString())
    outputs = net.predict_proba if hasattr(net, "predict_proba") else net.decision_function

    def loss(images):
        z = outputs(images)
        z = z - z.max(1, keepdims=True)
        return (np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), y])

    def gradient():
        g = np.zeros(x.shape)
        for i in range(x.shape[1]):
            step = np.zeros(x.shape)
            step[:, i] = 1e-5
            g[:, i] = (loss(x + step) - loss(x - step)) / 2e-5
        return g

    about = {"name": name, "exporter": "skl2onnx", "torch_gradient": 0, "torch_seconds": 0}
    save(folder, x, y, in_runtime(path, x), gradient().astype(np.float32), about)


def export(name, exporter, folder, precision="single"):
    if exporter == "skl2onnx":
        return export_sklearn(name, folder)
    os.environ["KERAS_BACKEND"] = "torch"  # read when Keras is first imported
    import torch

    torch.set_num_threads(2)
    warnings.filterwarnings("ignore")
    net, side = build(name)
    steps, batch = STEPS, BATCH
    if precision == "double":
        net, steps, batch = in_double(net, name), 0, 2
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(*([batch, side, side, 3] if exporter == "keras" else [batch, 3, side, side]), generator=generator)
    y = torch.arange(batch) * 7
    path = os.path.join(folder, "model.onnx")
    if exporter == "keras":
        import keras

        net(x)
        net.export(path, format="onnx", verbose=False, input_signature=[keras.InputSpec(shape=tuple(x.shape))])  # the importer frees the batch
    elif exporter == "dynamo":
        shapes = ({0: torch.export.Dim("batch", min=2, max=4096)},)
        try:
            torch.onnx.export(net, (x,), path, dynamo=True, verbose=False, dynamic_shapes=shapes)
        except Exception:  # networks whose code wants a number: the importer frees the batch
            torch.onnx.export(net, (x,), path, dynamo=True, verbose=False)
    else:
        torch.onnx.export(net, (x,), path, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "batch"}})
    if precision == "double":  # in which ONNX Runtime has no convolutions
        logits = net(x).detach().float().numpy()
    else:
        logits = in_runtime(path, x.numpy())
    x.requires_grad_(True)

    def gradient(x=x, net=net):
        loss = torch.nn.functional.cross_entropy(net(x), y, reduction="sum")
        return torch.autograd.grad(loss, x)[0]

    for p in net.parameters():
        p.requires_grad_(False)
    g = gradient()
    begin = time.perf_counter()
    for _ in range(steps):
        gradient()
    seconds = time.perf_counter() - begin
    exact = gradient(x.detach().double().requires_grad_(True), doubled(net, name))
    error = ((g.double() - exact).norm() / exact.norm()).item()
    about = {"name": name, "exporter": exporter, "torch_gradient": error, "torch_seconds": seconds / STEPS}
    save(folder, x.detach().numpy(), y.numpy(), logits, exact.float().numpy(), about)


if __name__ == "__main__":
    if sys.argv[1] == "list":
        for family, names in (("torchvision", TORCHVISION), ("timm", TIMM), ("keras", KERAS), ("sklearn", SKLEARN)):
            for n in names:
                for exporter in EXPORTERS[family]:
                    print(f"{family}/{n} {exporter}")
    else:
        export(*sys.argv[2:])
