"""Times the second-order meta-gradient of one task in PyTorch, by torch.func: for every line read, the name of a case below,
one gradient, its seconds written as a line. The Go benchmark beside which it runs asks by turns.

The network is conv-4: 3x3 convolution, ReLU, batch normalization with the batch's own statistics; strides of 2, or means
over 2x2 pixels. Fine-tuning takes steps of gradient descent on the support set; the gradient is that of the query loss."""

import sys
import time

import torch
from torch.func import grad
from torch.nn import functional as F

torch.manual_seed(1)


def network(parameters, x, pool):
    for kernel, bias, scale, shift in zip(*[iter(parameters[:-2])] * 4):
        x = F.relu(F.conv2d(x, kernel, bias, stride=1 if pool else 2, padding=1))
        x = F.batch_norm(x, None, None, scale, shift, training=True)
        if pool:
            x = F.avg_pool2d(x, 2)
    return F.linear(x.mean((2, 3)), *parameters[-2:])


def case(size, channels, filters, pool, ways=5, shots=1, queries=15, steps=5, rate=0.1):
    parameters, inputs = [], channels
    for _ in range(4):
        parameters += [torch.randn(filters, inputs, 3, 3) * (2 / (9 * inputs)) ** 0.5, torch.zeros(filters), torch.ones(filters), torch.zeros(filters)]
        inputs = filters
    parameters += [torch.randn(ways, filters) * (2 / (filters + ways)) ** 0.5, torch.zeros(ways)]
    xs, ys = torch.rand(ways * shots, channels, size, size), torch.arange(ways).repeat_interleave(shots)
    xq, yq = torch.rand(ways * queries, channels, size, size), torch.arange(ways).repeat_interleave(queries)

    def loss(p, x, y):
        return F.cross_entropy(network(p, x, pool), y)

    def query_loss(p):
        for _ in range(steps):
            p = tuple(w - rate * g for w, g in zip(p, grad(loss)(p, xs, ys)))
        return loss(p, xq, yq)

    return lambda: grad(query_loss)(tuple(parameters))


cases = {}
for shots in (1, 5):
    cases[f"strided-{shots}-shot"] = case(28, 1, 32, False, shots=shots)
    cases[f"pooled-{shots}-shot"] = case(28, 1, 32, True, shots=shots)
    cases[f"mini-{shots}-shot"] = case(84, 3, 32, True, shots=shots)
for run in cases.values():
    run()
print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
for line in sys.stdin:
    run = cases[line.strip()]
    start = time.perf_counter()
    run()
    print(time.perf_counter() - start, flush=True)
