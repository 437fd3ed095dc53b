"""Makes the golden ONNX models and, next to each, PyTorch's own answers.

Needs torch, onnx, onnxscript and numpy; running the Go tests needs none of them.

    python3 nets/onnx/testdata/make_golden.py

For each model NAME.onnx: NAME.npz-like plain arrays in NAME_x.npy (images), NAME_y.npy (labels), NAME_logits.npy and
NAME_grad.npy (gradient of the summed cross-entropy by the images). Weights are random with fixed seeds: what is
compared is the arithmetic.
"""
import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(8 * 3 * 3, 16), nn.ReLU(), nn.Linear(16, 10)), (1, 12, 12)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.c2, self.b2 = nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6, momentum=0.03)
        self.pool = nn.AvgPool2d(2)
        self.fc = nn.Linear(6, 5)

    def forward(self, x):
        x = F.relu(self.b1(self.c1(x)))
        x = self.pool(F.relu(x + self.b2(self.c2(x))))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Overlap(nn.Module):
    """Overlapping and padded pools, odd sizes, groups, strides, dilation, other activations."""

    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(3, 8, 5, stride=2, padding=2)
        self.dw = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.g2 = nn.Conv2d(8, 6, 3, padding=(2, 2), dilation=2, groups=2)
        self.fc = nn.Linear(6 * 4 * 4, 4)

    def forward(self, x):
        x = F.leaky_relu(self.c1(x), 0.1)
        x = F.relu6(self.dw(x))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        x = F.silu(self.g2(x))
        x = F.avg_pool2d(x, 3, stride=2, padding=1)
        x = x.view(x.size(0), -1)
        return self.fc(torch.tanh(x))


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3)), (1, 6, 6)


class Block(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.h = h
        self.n1, self.n2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.f1, self.f2 = nn.Linear(d, 2 * d), nn.Linear(2 * d, d)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(self.n1(x)).reshape(b, t, 3, self.h, d // self.h).permute(2, 0, 3, 1, 4).unbind(0)
        a = torch.softmax(q @ k.transpose(-2, -1) / (d // self.h) ** 0.5, dim=-1)
        x = x + self.out((a @ v).transpose(1, 2).reshape(b, t, d))
        return x + self.f2(F.gelu(self.f1(self.n2(x))))


class ViT(nn.Module):
    def __init__(self, d=12, h=2):
        super().__init__()
        self.patch = nn.Conv2d(1, d, 4, stride=4)
        self.cls = nn.Parameter(torch.randn(1, 1, d))
        self.pos = nn.Parameter(torch.randn(1, 10, d))
        self.blocks = nn.Sequential(Block(d, h), Block(d, h))
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, 6)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], dim=1) + self.pos
        return self.head(self.norm(self.blocks(x))[:, 0])


class Sdpa(ViT):
    """The attention of torch.nn, tanh GELU, a mean over tokens and a final softmax."""

    def __init__(self, d=8):
        super().__init__(d)
        self.att = nn.MultiheadAttention(d, 2, batch_first=True)
        del self.blocks, self.cls, self.pos

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = x + self.att(x, x, x, need_weights=False)[0]
        x = F.gelu(self.norm(x), approximate="tanh")
        return torch.softmax(self.head(x.mean(1)), dim=-1)


def save(name, net, shape, dynamo, fixed=0, external=False, ties=False):
    net.eval()
    g = torch.Generator().manual_seed(7)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.copy_(torch.randn(m.num_features, generator=g) * 0.3)
            m.running_var.copy_(torch.rand(m.num_features, generator=g) + 0.5)
            m.weight.data.copy_(torch.randn(m.num_features, generator=g))
            m.bias.data.copy_(torch.randn(m.num_features, generator=g))
    x = torch.rand((5,) + shape, generator=g)
    if ties:  # large black and white areas, as in pictures of digits
        x = (x * 3 - 1).clamp(0, 1)
        x[:, :, : shape[1] // 2] = 0
    x.requires_grad_()
    logits = net(x)
    y = torch.randint(0, logits.shape[1], (5,), generator=g)
    loss = F.cross_entropy(logits, y, reduction="sum")
    (grad,) = torch.autograd.grad(loss, x)
    path = os.path.join(HERE, name)
    sample = torch.rand((fixed or 2,) + shape)
    kw = dict(opset_version=18, input_names=["images"], output_names=["logits"])
    if dynamo:
        if not fixed:
            kw["dynamic_shapes"] = ({0: torch.export.Dim("batch", min=1, max=4096)},)
        torch.onnx.export(net, (sample,), path + ".onnx", dynamo=True, external_data=external, verbose=False, **kw)
    else:
        if not fixed:
            kw["dynamic_axes"] = {"images": {0: "batch"}, "logits": {0: "batch"}}
        torch.onnx.export(net, (sample,), path + ".onnx", dynamo=False, **kw)
    strip(path + ".onnx")
    for key, value in {"x": x, "y": y, "logits": logits, "grad": grad}.items():
        np.save(path + "_" + key + ".npy", value.detach().numpy())


def strip(path):
    """Drops the exporter's traces of this machine's source files."""
    import onnx

    m = onnx.load(path, load_external_data=False)
    for item in [m.graph, *m.graph.node, *m.graph.input, *m.graph.output, *m.graph.value_info, *m.graph.initializer]:
        del item.metadata_props[:]
        item.doc_string = ""
    del m.metadata_props[:]
    onnx.save(m, path)


def main():
    torch.set_num_threads(1)
    jobs = [
        ("cnn_old", cnn, dict(dynamo=False)),
        ("cnn_new", cnn, dict(dynamo=True)),
        ("cnn_external", cnn, dict(dynamo=True, external=True)),
        ("cnn_fixed1", cnn, dict(dynamo=False, fixed=1)),
        ("cnn_fixed4", cnn, dict(dynamo=True, fixed=4)),
        ("cnn_ties", cnn, dict(dynamo=True, ties=True)),
        ("residual_old", lambda: (Residual(), (3, 8, 8)), dict(dynamo=False)),
        ("residual_new", lambda: (Residual(), (3, 8, 8)), dict(dynamo=True)),
        ("overlap_old", lambda: (Overlap(), (3, 27, 27)), dict(dynamo=False)),
        ("overlap_new", lambda: (Overlap(), (3, 27, 27)), dict(dynamo=True)),
        ("mlp_old", mlp, dict(dynamo=False)),
        ("mlp_new", mlp, dict(dynamo=True)),
        ("vit_old", lambda: (ViT(), (1, 12, 12)), dict(dynamo=False)),
        ("vit_new", lambda: (ViT(), (1, 12, 12)), dict(dynamo=True)),
        ("vit_fixed4", lambda: (ViT(), (1, 12, 12)), dict(dynamo=True, fixed=4)),
        ("sdpa_old", lambda: (Sdpa(), (1, 12, 12)), dict(dynamo=False)),
        ("sdpa_new", lambda: (Sdpa(), (1, 12, 12)), dict(dynamo=True)),
    ]
    for name, make, options in jobs:
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        torch.manual_seed(1)
        net, shape = make()
        with torch.no_grad():
            if name == "cnn_ties":
                for m in net.modules():
                    if isinstance(m, nn.Conv2d):
                        m.bias.zero_()
        save(name, net, shape, **options)
        print(name)


if __name__ == "__main__":
    main()
