"""Times ten steps of training the convolutional autoencoder of arXiv 2103.01895 in PyTorch: for every line read, the side of its
kernels, ten steps, the processor's seconds written as a line. The Go benchmark beside which it runs asks by turns."""

import sys
import time

import torch
from torch import nn

torch.manual_seed(1)
torch.set_num_threads(1)  # several wait for each other busily, which the processor's time would count


def conv(inputs, outputs, side):
    return nn.Conv2d(inputs, outputs, side, padding=side // 2)


def case(side):
    net = nn.Sequential(
        conv(1, 16, side), nn.ReLU(), nn.MaxPool2d(2), conv(16, 8, side), nn.ReLU(), nn.MaxPool2d(2), conv(8, 8, side), nn.ReLU(),
        nn.Upsample(scale_factor=2), conv(8, 16, side), nn.ReLU(), nn.Upsample(scale_factor=2), conv(16, 1, side))
    rule, images = torch.optim.Adadelta(net.parameters(), rho=0.95), torch.rand(100, 1, 28, 28)

    def steps():
        for _ in range(10):
            rule.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(net(images), images).backward()
            rule.step()

    return steps


cases = {"3": case(3), "5": case(5)}
for steps in cases.values():
    steps()
print(f"PyTorch {torch.__version__}, 1 thread", flush=True)
for line in sys.stdin:
    start = time.process_time()
    cases[line.strip()]()
    print(time.process_time() - start, flush=True)
