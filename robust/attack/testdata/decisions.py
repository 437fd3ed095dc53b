"""Attacks by decisions of Foolbox and ART on a network and images that the Go benchmark beside which it runs has put into the
folder DECISIONS: model.onnx, images.npy, labels.npy and starts.npy, a success for each image.

For every line read, "median" or "seconds" and the names of a library and an attack, a number of queries and of images, it writes
a number: the median, over images attacked one by one, of the l2 distance of the nearest success among so many queries; or the
seconds that all images at once take, times the queries asked for over those that it took."""

import os
import sys
import time

import art
import foolbox
import numpy as np
import onnx
import torch
from art.attacks.evasion import HopSkipJump, SignOPTAttack
from art.estimators.classification import PyTorchClassifier
from onnx import numpy_helper

nn = torch.nn
folder = os.environ["DECISIONS"]
images, starts = (torch.tensor(np.load(f"{folder}/{name}.npy")) for name in ("images", "starts"))
labels = torch.tensor(np.load(f"{folder}/labels.npy")).long()


def network():
    """The network of notebooks/models/mnist_cnn.onnx."""
    weights = {w.name: torch.tensor(numpy_helper.to_array(w)) for w in onnx.load(f"{folder}/model.onnx").graph.initializer}
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(784, 24), nn.ReLU(), nn.Linear(24, 10),
    )
    model.load_state_dict(weights)
    return model.eval()


class Spent(Exception):
    pass


class Counted(nn.Module):
    """Counts queries, keeps the distance of the nearest success to one image, and stops once the budget is spent."""

    def __init__(self, model):
        super().__init__()
        self.model, self.clean, self.budget, self.asked = model, None, None, 0

    def watch(self, clean, label, budget):
        self.clean, self.label, self.budget, self.asked, self.nearest = clean, label, budget, 0, float("inf")

    def forward(self, x):
        with torch.no_grad():
            logits = self.model(x.float())
        self.asked += len(x)
        if self.budget is not None:
            inside = len(x) - max(0, self.asked - self.budget)
            wrong = (logits.argmax(1) != self.label)[:max(0, inside)]
            if wrong.any():
                far = (x[:len(wrong)][wrong] - self.clean).flatten(1).norm(dim=1).min().item()
                self.nearest = min(self.nearest, far)
            if self.asked >= self.budget:
                raise Spent
        return logits


counted = Counted(network()).eval()


def foolbox_jump(x, y, start, steps):
    model = foolbox.PyTorchModel(counted, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.HopSkipJumpAttack(steps=steps)
    attack(model, x, y, epsilons=None, starting_points=start)


def art_classifier():
    return PyTorchClassifier(counted, nn.CrossEntropyLoss(), (1, 28, 28), 10, clip_values=(0, 1), device_type="cpu")


def art_jump(x, y, start, steps):
    HopSkipJump(art_classifier(), max_iter=steps, verbose=False).generate(x.numpy(), y=np.eye(10)[y], x_adv_init=start.numpy())


def art_sign(x, y, start, steps):
    SignOPTAttack(art_classifier(), targeted=False, max_iter=steps, query_limit=10**6, verbose=False).generate(x.numpy(), y=np.eye(10)[y])


attacks = {("foolbox", "hopskipjump"): foolbox_jump, ("art", "hopskipjump"): art_jump, ("art", "sign-opt"): art_sign}


def median(attack, queries, n):
    nearest = []
    for i in range(n):
        one = slice(i, i + 1)
        counted.watch(images[one], labels[i], queries)
        try:
            attack(images[one], labels[one], starts[one], 500)
        except Spent:
            pass
        nearest.append(counted.nearest)
    return float(np.median(nearest))


def seconds(attack, queries, n):
    counted.budget, counted.asked = None, 0
    start = time.perf_counter()
    attack(images[:n], labels[:n], starts[:n], 5)
    return (time.perf_counter() - start) * queries * n / counted.asked


torch.manual_seed(1)
np.random.seed(1)
print(f"Foolbox {foolbox.__version__}, ART {art.__version__}, PyTorch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
for line in sys.stdin:
    what, library, attack, queries, n = line.split()
    print({"median": median, "seconds": seconds}[what](attacks[library, attack], int(queries), int(n)), flush=True)
