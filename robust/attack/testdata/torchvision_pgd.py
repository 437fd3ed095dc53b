"""PGD-20 of torchattacks on networks of torchvision, random weights, eight images of 224x224.

torchvision_pgd.py export NAME FOLDER   writes model.onnx and x.npy
torchvision_pgd.py                      for every line read, the name of a network, one attack, its seconds written as a line
"""

import os
import sys
import time
import warnings

import numpy as np
import torch
import torchattacks

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../internal/cmd/zoo"))
from zoo import build  # noqa: E402

warnings.filterwarnings("ignore")
x = torch.rand(8, 3, 224, 224, generator=torch.Generator().manual_seed(2))
if len(sys.argv) > 1:
    _, _, name, folder = sys.argv
    path = os.path.join(folder, "model.onnx")
    torch.onnx.export(build(name)[0], (x,), path, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "batch"}})
    np.save(os.path.join(folder, "x.npy"), x.numpy())
    sys.exit()

print(f"torchattacks {torchattacks.__version__}, PyTorch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
attacks = {}
for line in sys.stdin:
    name = line.strip()
    if name not in attacks:
        net = build(name)[0]
        for p in net.parameters():
            p.requires_grad_(False)
        attack = torchattacks.PGD(net, eps=4 / 255, alpha=0.5 / 255, steps=20)
        attacks = {name: (attack, net(x).argmax(1))}  # one network at a time
        torchattacks.PGD(net, eps=4 / 255, alpha=0.5 / 255, steps=1)(x, attacks[name][1])
    attack, labels = attacks[name]
    start = time.perf_counter()
    attack(x, labels)
    print(time.perf_counter() - start, flush=True)
