"""Makes networks.json: what PyTorch computes for the networks that package nets builds itself.

Needs torch and numpy; running the Go tests needs neither.

    python3 nets/testdata/make_networks.py

Weights follow a formula that the Go test repeats, in the layouts of package nets (kernels [rows, columns, inputs,
outputs], dense weights [inputs, outputs]), in the order of the network: element i of tensor k is
sin(0.37 i + 1.3 k + 0.5), times sqrt(2 / fan-in) for matrices and kernels, times 0.1 (plus 1 for scales) for vectors;
running means 0.1 sin, running variances 1 + 0.5 sin. Image value i is 0.5 + 0.5 sin(0.91 i).
"""
import json
import math
import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
torch.set_default_dtype(torch.float64)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, reduction):
        super().__init__()
        self.c1, self.n1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.c2, self.n2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.gate = nn.Sequential(nn.Linear(outputs, outputs // reduction), nn.ReLU(), nn.Linear(outputs // reduction, outputs),
                                  nn.Sigmoid()) if reduction else None
        self.short = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.short = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.n2(self.c2(F.relu(self.n1(self.c1(x)))))
        if self.gate is not None:
            y = y * self.gate(y.mean((2, 3)))[:, :, None, None]
        return F.relu(y + self.short(x))


class ResNet(nn.Module):
    def __init__(self, channels, large, reduction):
        super().__init__()
        self.stem = nn.Conv2d(3, channels[0], 7 if large else 3, 2 if large else 1, 3 if large else 1, bias=False)
        self.norm, self.large = nn.BatchNorm2d(channels[0]), large
        wide = [channels[0]] + channels
        self.blocks = nn.Sequential(*[Block(wide[i], wide[i + 1], 2 if i else 1, reduction) for i in range(len(channels))])
        self.head = nn.Linear(channels[-1], 5)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        if self.large:
            x = F.max_pool2d(x, 3, 2, 1)
        return self.head(self.blocks(x).mean((2, 3)))


class Transformer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.n1, self.qkv, self.out = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.n2, self.fc1, self.fc2 = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        b, n, w = x.shape
        q, k, v = self.qkv(self.n1(x)).reshape(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, w))
        return x + self.fc2(F.gelu(self.fc1(self.n2(x))))


class ViT(nn.Module):
    def __init__(self, side, patch, width, heads, depth):
        super().__init__()
        self.patch = patch
        self.embed = nn.Linear(3 * patch * patch, width)
        self.token = nn.Parameter(torch.zeros(1, width))
        self.positions = nn.Parameter(torch.zeros((side // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential(*[Transformer(width, heads) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, 5)

    def forward(self, x):
        x = F.unfold(2 * x - 1, self.patch, stride=self.patch).transpose(1, 2)
        b, n, _ = x.shape
        x = x.reshape(b, n, 3, -1).transpose(2, 3).reshape(b, n, -1)  # channels last, as in package nets
        x = torch.cat([self.token.expand(b, 1, -1), self.embed(x)], 1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])


def wave(n, k):
    return np.sin(0.37 * np.arange(n) + 1.3 * k + 0.5)


def fill(net):
    scales = {id(m.weight) for m in net.modules() if isinstance(m, (nn.BatchNorm2d, nn.LayerNorm))}
    plain = {id(p) for name, p in net.named_parameters() if name in ("token", "positions")}
    with torch.no_grad():
        for k, p in enumerate(order(net)):
            shape = list(p.shape)
            if p.dim() == 4:
                shape = [shape[2], shape[3], shape[1], shape[0]]
            elif p.dim() == 2 and id(p) not in plain:
                shape = shape[::-1]
            v = wave(p.numel(), k)
            v = v * math.sqrt(2 / (p.numel() / shape[-1])) if p.dim() > 1 else 0.1 * v + (id(p) in scales)
            v = torch.tensor(v.reshape(shape))
            if p.dim() == 4:
                v = v.permute(3, 2, 0, 1)
            elif p.dim() == 2 and id(p) not in plain:
                v = v.T
            p.copy_(v)
        for k, m in enumerate([m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]):
            m.running_mean.copy_(torch.tensor(0.1 * wave(len(m.running_mean), 2 * k)))
            m.running_var.copy_(torch.tensor(1 + 0.5 * wave(len(m.running_var), 2 * k + 1)))


def order(net):
    """Parameters in the order of package nets: the embedding before token and positions."""
    named = list(net.named_parameters())
    first = [p for name, p in named if name.startswith("embed")]
    return first + [p for name, p in named if not name.startswith("embed")]


def golden(net, side):
    fill(net)
    x = torch.tensor(0.5 + 0.5 * np.sin(0.91 * np.arange(2 * side * side * 3)).reshape(2, side, side, 3))
    y = torch.tensor([1, 3])
    x.requires_grad_(True)
    images = x.permute(0, 3, 1, 2)
    found = {"parameters": sum(p.numel() for p in net.parameters())}
    for name, net in (("evaluation", net.eval()), ("training", net.train())):
        net.train(name == "training")
        logits = net(images)
        (grad,) = torch.autograd.grad(F.cross_entropy(logits, y, reduction="sum"), x, retain_graph=True)
        found[name] = {"logits": logits.flatten().tolist(), "gradient": [float(f"{v:.9g}") for v in grad.flatten().tolist()]}
    found["state"] = [v for m in net.modules() if isinstance(m, nn.BatchNorm2d) for v in m.running_mean.tolist() + m.running_var.tolist()]
    return found


networks = {
    "resnet": golden(ResNet([4, 8], False, 0), 8),
    "large stem, squeeze-excite": golden(ResNet([4, 8, 8], True, 2), 16),
    "vit": golden(ViT(8, 4, 8, 2, 2), 8),
}
with open(os.path.join(HERE, "networks.json"), "w") as f:
    json.dump(networks, f)
print({k: v["parameters"] for k, v in networks.items()})
