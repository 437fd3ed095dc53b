"""Exports a network with random weights, and what ONNX Runtime and PyTorch make of it.

zoo.py list                   prints the names, one a line
zoo.py export NAME EXPORTER FOLDER [double]
                              writes model.onnx, x.npy, y.npy, logits.npy (ONNX Runtime), gradient.npy (PyTorch in double
                              precision, of the summed cross-entropy by x) and about.json; EXPORTER is torchscript or dynamo;
                              with double, the network converts its images and computes in double precision
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


def build(name):
    import timm
    import torch
    import torchvision

    torch.manual_seed(1)
    family, model = name.split("/")
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


def in_double(net):
    import torch

    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net.double()

        def forward(self, x):
            return self.net(x.double())

    return Wrapped().eval()


def export(name, exporter, folder, precision="single"):
    import onnxruntime
    import torch

    torch.set_num_threads(2)
    warnings.filterwarnings("ignore")
    net, side = build(name)
    steps, batch = STEPS, BATCH
    if precision == "double":
        net, steps, batch = in_double(net), 0, 2
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(batch, 3, side, side, generator=generator)
    y = torch.arange(batch) * 7
    path = os.path.join(folder, "model.onnx")
    if exporter == "dynamo":
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
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 2
        session = onnxruntime.InferenceSession(path, options)
        logits = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    x.requires_grad_(True)

    def gradient(x=x):
        loss = torch.nn.functional.cross_entropy(net(x), y, reduction="sum")
        return torch.autograd.grad(loss, x)[0]

    for p in net.parameters():
        p.requires_grad_(False)
    g = gradient()
    begin = time.perf_counter()
    for _ in range(steps):
        gradient()
    seconds = time.perf_counter() - begin
    net.double()
    exact = gradient(x.detach().double().requires_grad_(True))
    np.save(os.path.join(folder, "x.npy"), x.detach().numpy())
    np.save(os.path.join(folder, "y.npy"), y.numpy())
    np.save(os.path.join(folder, "logits.npy"), logits)
    np.save(os.path.join(folder, "gradient.npy"), exact.float().numpy())
    about = {
        "name": name,
        "exporter": exporter,
        "torch_gradient": ((g.double() - exact).norm() / exact.norm()).item(),
        "torch_seconds": seconds / STEPS,
    }
    with open(os.path.join(folder, "about.json"), "w") as f:
        json.dump(about, f)


if __name__ == "__main__":
    if sys.argv[1] == "list":
        print("\n".join([f"torchvision/{n}" for n in TORCHVISION] + [f"timm/{n}" for n in TIMM]))
    else:
        export(*sys.argv[2:])
