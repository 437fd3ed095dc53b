"""The networks of the paired few-shot GAN, and its two steps, written plainly in PyTorch.

Without arguments: for each line read, "source" or "target", ten steps of that stage, their seconds written as a line; of the processor
after "cpu ". The Go benchmark beside which it runs asks by turns. Sizes are those of pfsgan.Config's zero value, images of 16x16, 20
pairs and a perceptual classifier.

With "check" and a folder that holds weights of Go's networks, latents and images: prints what the networks here make of them, as JSON."""

import json
import os
import pathlib
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SIZE, CHANNELS, CODE, BATCH, PAIRS, OTHERS = 16, 24, 16, 32, 20, 20


def conv(inputs, outputs, side=3):
    return nn.Conv2d(inputs, outputs, side, padding=side // 2)


class Network(nn.Module):
    """Layers by the names that they have in Go, and Go's initial values: normal weights as Glorot and Bengio's, biases of 0."""

    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleDict(layers).to(memory_format=torch.channels_last)  # a quarter faster here
        for layer in layers.values():
            if not isinstance(layer, nn.BatchNorm2d):
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    def load(self, path):
        arrays = np.load(path)
        found = {}
        for name in arrays:  # as in scope_layer/weights
            layer, value = name.rsplit("/", 1)
            key = next(k for k in sorted(self.layers, key=len, reverse=True) if layer.endswith("_" + k))
            a = torch.from_numpy(arrays[name])
            if a.dim() == 4:
                a = a.permute(3, 2, 0, 1)
            elif a.dim() == 2:
                a = a.T
            of = {"weights": "weight", "biases": "bias", "scale": "weight", "shift": "bias", "mean": "running_mean", "variance": "running_var"}
            found[f"layers.{key}.{of[value]}"] = a.contiguous()
        missing, unexpected = self.load_state_dict(found, strict=False)
        assert not unexpected and all(m.endswith("num_batches_tracked") for m in missing), (missing, unexpected)
        return self


class Generator(Network):
    def __init__(self, latent=2 * CODE, size=SIZE, c=CHANNELS):
        layers, ups = {"dense": nn.Linear(latent, 16 * c)}, (size // 4).bit_length() - 1
        for i in range(ups):
            layers |= {f"up_{i}_first": conv(c, c), f"up_{i}_second": conv(c, c)}
        super().__init__(layers | {"norm": nn.BatchNorm2d(c), "last": conv(c, 3)})
        self.ups = ups

    def forward(self, latents):
        l = self.layers
        x = l["dense"](latents).unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)
        for i in range(self.ups):
            y = F.interpolate(F.relu(F.instance_norm(x)), scale_factor=2)
            y = l[f"up_{i}_second"](F.relu(F.instance_norm(l[f"up_{i}_first"](y))))
            x = y + F.interpolate(x, scale_factor=2)
        return torch.tanh(l["last"](F.relu(l["norm"](x))))


class Discriminator(Network):
    def __init__(self, blocks=3, c=CHANNELS):
        layers = {}
        for i in range(blocks):
            inputs = c if i else 3
            layers |= {f"down_{i}_first": conv(inputs, c), f"down_{i}_second": conv(c, c), f"down_{i}_skip": conv(inputs, c, 1)}
        super().__init__(layers | {"patch": conv(c, 1, 1), "whole": nn.Linear(c, 1)})
        self.blocks = blocks

    def forward(self, x):
        l = self.layers
        for i in range(self.blocks):
            y = l[f"down_{i}_second"](F.relu(l[f"down_{i}_first"](F.relu(x) if i else x)))
            if i == self.blocks - 1:
                patches = l["patch"](x)
            x = F.avg_pool2d(y, 2) + l[f"down_{i}_skip"](F.avg_pool2d(x, 2))
        return patches.flatten(1), l["whole"](F.relu(x).mean((2, 3))).flatten()


class Front(Network):
    def __init__(self, c=CHANNELS):
        super().__init__({"front_0": conv(3, c), "front_1": conv(c, c)})

    def forward(self, x):
        return F.max_pool2d(F.relu(self.layers["front_1"](F.relu(self.layers["front_0"](x)))), 2)


class Encoder(Network):
    def __init__(self, latent=CODE, size=SIZE, c=CHANNELS, hidden=128):
        layers = {"front_0": conv(3, c), "front_1": conv(c, c), "third": conv(c, 2 * c)}
        layers |= {"dense": nn.Linear((size // 4) ** 2 * 2 * c, hidden), "mean": nn.Linear(hidden, latent)}
        super().__init__(layers | {"log_variance": nn.Linear(hidden, latent)})

    def forward(self, x, front=None):
        l = self.layers
        x = front(x) if front else Front.forward(self, x)
        x = F.max_pool2d(F.relu(l["third"](x)), 2)
        x = F.relu(l["dense"](x.permute(0, 2, 3, 1).flatten(1)))
        return l["mean"](x), l["log_variance"](x)


class Classifier(nn.Module):
    """Whose layers are the perceptual features, five times as large."""

    def __init__(self):
        super().__init__()
        self.convs, self.dense = nn.ModuleList([conv(3, 16), conv(16, 32)]), nn.Linear(32 * (SIZE // 4) ** 2, 64)
        self.requires_grad_(False)

    def forward(self, x):
        found = []
        for c in self.convs:
            x = F.max_pool2d(F.relu(c(x)), 2)
            found.append(5 * x)
        return found + [5 * F.relu(self.dense(x.flatten(1)))]


def draw(posterior):
    mean, log_variance = posterior
    return mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)


def divergence(mean, log_variance):
    return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).mean()


hinge = lambda scores: F.relu(1 + scores).mean()
squared = F.mse_loss
relation = lambda a, b: (a - b) ** 2
latent = lambda appearance, content: torch.cat([appearance, content], 1)


def random_images(n):
    return (2 * torch.rand(n, 3, SIZE, SIZE) - 1).contiguous(memory_format=torch.channels_last)


class Update:
    """Adam of some networks, each with its moments' rates, as many as there are."""

    def __init__(self, *networks, rate=1e-3):
        self.adams = [torch.optim.Adam(n.parameters(), lr=rate, betas=betas) for n, betas in networks]
        self.parameters = [p for a in self.adams for g in a.param_groups for p in g["params"]]

    def __call__(self, loss):
        slopes = torch.autograd.grad(loss, self.parameters, allow_unused=True)  # the encoders' spread is not in all losses
        for p, slope in zip(self.parameters, slopes):
            p.grad = slope
        for a in self.adams:
            a.step()


def source_stage():
    g, content, appearance, judge, perceptual = Generator(), Encoder(), Encoder(), Discriminator(), Classifier()
    update_judge = Update((judge, (0.5, 0.9)))
    update = Update((g, (0.5, 0.999)), (content, (0.9, 0.999)), (appearance, (0.9, 0.999)))
    images = random_images(BATCH)

    def step():
        with torch.no_grad():
            codes = latent(draw(appearance(images)), draw(content(images)))
            fakes = g(torch.cat([torch.randn_like(codes), codes]))
        real, drawn, again = judge(torch.cat([images, fakes]))[1].chunk(3)
        update_judge(0.01 * (hinge(-real) + 0.5 * (hinge(drawn) + hinge(again))))

        posteriors = content(images), appearance(images)
        c, a = map(draw, posteriors)
        codes, other = latent(a, c), torch.randn_like(a)
        made = g(torch.cat([codes, latent(other, c), torch.randn_like(codes), codes.detach()]))
        again, shifted = made[:BATCH], made[BATCH : 2 * BATCH]
        loss, features = squared(again, images) + F.l1_loss(again, images), perceptual(torch.cat([again, shifted, images]))
        for f in features:
            f = f.chunk(3)
            loss = loss + 0.01 * F.l1_loss(f[0], f[2])
        loss = loss + 0.01 * squared(f[1], f[2])
        kl = divergence(*posteriors[0]) + divergence(*posteriors[1])
        loss = loss + 0.1 * (squared(draw(appearance(shifted)), other) + kl)
        update(loss - 0.01 * judge(made[2 * BATCH :])[1].mean())

    return step


TO_XYZ = torch.tensor([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
WHITE = torch.tensor([0.95047, 1, 1.08883]).view(1, 3, 1, 1)
mix = lambda m, x: torch.einsum("rc,nchw->nrhw", m, x)


def to_lab(x):
    x = torch.where(x > 0.04045, ((x.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4, x / 12.92)
    t = mix(TO_XYZ, x) / WHITE
    fx, fy, fz = torch.where(t > (6 / 29) ** 3, t.clamp(min=(6 / 29) ** 3) ** (1 / 3), t * (29 / 6) ** 2 / 3 + 16 / 116).chunk(3, 1)
    return torch.cat([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], 1)


def to_rgb(x):
    l, a, b = x.chunk(3, 1)
    fy = (l + 16) / 116
    f = torch.cat([fy + a / 500, fy, fy - b / 200], 1)
    x = mix(TO_XYZ.inverse(), torch.where(f > 6 / 29, f**3, (f - 16 / 116) * 3 * (6 / 29) ** 2) * WHITE)
    return torch.where(x > 0.0031308, 1.055 * x.clamp(min=0.0031308) ** (1 / 2.4) - 0.055, 12.92 * x)


def shift(images, low, high):
    x = to_lab((images + 1) / 2)
    u = torch.randint(-100, 101, (len(images), 2, 1, 1)) / 100
    ab = torch.minimum(torch.maximum(x[:, 1:] + u * (high - low) / 2, low), high)
    return 2 * to_rgb(torch.cat([x[:, :1], ab], 1)).clamp(0, 1) - 1


def target_stage():
    g, before, content, appearance, front = Generator(), Generator().eval(), Encoder(), Encoder(), Front()
    judge, perceptual = Discriminator(), Classifier()
    before.requires_grad_(False), content.requires_grad_(False)
    rates = 0.5, 0.9
    update_judge, update_front = Update((judge, (0.0, 0.9))), Update((front, rates))
    update = Update((g, rates), (appearance, rates), (front, rates))
    target, c, others = random_images(PAIRS), torch.randn(PAIRS, CODE), torch.randn(OTHERS, CODE)
    ab = to_lab((target + 1) / 2)[:, 1:]
    low, high = ab.amin((0, 2, 3)).view(1, 2, 1, 1), ab.amax((0, 2, 3)).view(1, 2, 1, 1)
    in_target = lambda x: content(x, front)[0]

    def step():
        with torch.no_grad():
            a = draw(appearance(target))
            made = g(torch.cat([latent(a, c), latent(a, others)]))
        patches, whole = judge(made)
        patch, image = patches.chunk(2), whole.chunk(2)
        update_judge(hinge(-patch[0]) + hinge(patch[1]) + 0.01 * (hinge(-image[0]) + hinge(image[1])))

        found = in_target(shift(target, low, high))
        first = relation(c, found).abs().mean()
        update_front(first + F.l1_loss(relation(others, found[:1]), relation(others, c[:1])))

        shifted = shift(target, low, high)
        mean, spread = appearance(torch.cat([shifted, target]))
        of_shifted, of = draw((mean, spread)).chunk(2)
        made = g(torch.cat([latent(of_shifted, c), latent(of, c), latent(of_shifted, others), latent(of, others)]))
        again_shifted, again, other_shifted, other = made.chunk(4)
        f = perceptual(torch.cat([again_shifted, again, shifted, target]))[1].chunk(4)
        both = [squared(again_shifted, shifted) + 0.1 * squared(f[0], f[2]), squared(again, target) + 0.1 * squared(f[1], f[3])]
        kl = divergence(mean[:PAIRS], spread[:PAIRS])
        reconstruction = both[0] + 0.1 * both[1] + 0.1 * squared(of_shifted, appearance(again_shifted)[0]) + 0.001 * kl
        patches, whole = judge(other)
        with torch.no_grad():
            in_source = content(before(latent(torch.randn_like(others), others)))[0]
        found = in_target(other_shifted)
        relations = relation(in_source, found).abs().mean() + F.l1_loss(relation(c, found[:1]), relation(c, others[:1]))
        update(10 * reconstruction - 0.1 * (patches.mean() + 0.01 * whole.mean()) + relations)

    return step


def check(folder):
    load = lambda name: torch.from_numpy(np.load(folder / name))
    images, latents = load("images.npy").permute(0, 3, 1, 2).contiguous(), load("latents.npy")
    with torch.no_grad():
        g = Generator().load(folder / "generator.npz")
        found = {"evaluated": g.eval()(latents), "learning": g.train()(latents)}
        found = {k: v.permute(0, 2, 3, 1) for k, v in found.items()}
        found["patches"], found["whole"] = Discriminator().load(folder / "judge.npz")(images)
        found["mean"], found["log_variance"] = Encoder().load(folder / "content.npz")(images)
    print(json.dumps({k: v.flatten().tolist() for k, v in found.items()}))


def serve():
    torch.manual_seed(1)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))
    stages = {"source": source_stage(), "target": target_stage()}
    for step in stages.values():
        step()
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    for line in sys.stdin:
        clock, _, name = line.strip().rpartition(" ")
        now = time.process_time if clock else time.perf_counter
        start = now()
        for _ in range(10):
            stages[name]()
        print(now() - start, flush=True)


if sys.argv[1:2] == ["check"]:
    check(pathlib.Path(sys.argv[2]))
else:
    serve()
