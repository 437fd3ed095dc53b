"""Trains the small PyTorch network of the tour and exports it to ONNX.

    python make_mnist_cnn.py FOLDER_WITH_MNIST_IDX_GZ

Needs torch and onnx. The tour does not: it reads what this script wrote.
"""
import gzip
import pathlib
import sys

import numpy as np
import torch
import torch.nn as nn

here = pathlib.Path(__file__).parent
source = pathlib.Path(sys.argv[1])


def read(name, offset):
    with gzip.open(source / name) as f:
        return np.frombuffer(f.read(), np.uint8, offset=offset)


def images(name):
    return torch.tensor(read(name, 16).reshape(-1, 1, 28, 28).astype(np.float32) / 255)


def labels(name):
    return torch.tensor(read(name, 8).astype(np.int64))


torch.manual_seed(0)
torch.set_num_threads(2)
x, y = images("train-images-idx3-ubyte.gz"), labels("train-labels-idx1-ubyte.gz")
tx, ty = images("t10k-images-idx3-ubyte.gz"), labels("t10k-labels-idx1-ubyte.gz")
net = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(784, 24), nn.ReLU(), nn.Linear(24, 10))
optimizer = torch.optim.Adam(net.parameters(), 2e-3)
for epoch in range(4):
    for rows in torch.randperm(len(x)).split(128):
        loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
net.eval()
with torch.no_grad():
    print("test accuracy", (net(tx).argmax(1) == ty).float().mean().item())
torch.onnx.export(net, x[:1], here / "mnist_cnn.onnx", dynamo=False, input_names=["image"], output_names=["logits"],
                  dynamic_axes={"image": {0: "n"}, "logits": {0: "n"}})
