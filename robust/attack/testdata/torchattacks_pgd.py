"""Times PGD-20 of torchattacks on the reference CNN: for every line read ("max" or "mean", the pooling) one attack on a
batch of 128 images, its seconds written as a line. The Go benchmark beside which it runs asks by turns."""

import sys
import time

import torch
import torchattacks

nn = torch.nn


def network(pool):
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), pool,
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), pool,
        nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    ).eval()


torch.manual_seed(1)
images = torch.rand(128, 1, 28, 28)
attacks = {}
for name, pool in (("max", nn.MaxPool2d(2)), ("mean", nn.AvgPool2d(2))):
    model = network(pool)
    labels = model(images).argmax(1)
    attack = torchattacks.PGD(model, eps=0.3, alpha=2.5 * 0.3 / 20, steps=20)
    attack(images, labels)
    attacks[name] = (attack, labels)
print(f"torchattacks {torchattacks.__version__}, PyTorch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
for line in sys.stdin:
    attack, labels = attacks[line.strip()]
    start = time.perf_counter()
    attack(images, labels)
    print(time.perf_counter() - start, flush=True)
