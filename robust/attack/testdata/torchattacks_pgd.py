"""Times PGD-20 of torchattacks on the reference networks: for every line read ("max" or "mean", the CNN's pooling, or
"vit") one attack on a batch of 128 images, its seconds written as a line. The Go benchmark beside which it runs asks by turns."""

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


class Block(nn.Module):
    """A pre-norm transformer block with fused attention, as timm's."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """Patch 4 on 28x28, width 64, depth 4, 4 heads."""

    def __init__(self, width=64):
        super().__init__()
        self.embed = nn.Conv2d(1, width, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, 50, width) * 0.02)
        self.blocks = nn.Sequential(*[Block(width, 4) for _ in range(4)])
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, 10)

    def forward(self, x):
        x = self.embed(2 * x - 1).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])


torch.manual_seed(1)
images = torch.rand(128, 1, 28, 28)
attacks = {}
for name, model in (("max", network(nn.MaxPool2d(2))), ("mean", network(nn.AvgPool2d(2))), ("vit", ViT().eval())):
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
