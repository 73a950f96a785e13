"""A network of Keras as a torch module, and photographs as torch loads them."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn


def convert(model) -> nn.Module:
    """Build a torch module with the layers and weights of a Keras model."""
    return _Graph(model)


class _Graph(nn.Module):
    """The layers of a functional model, each fed by those before it."""

    def __init__(self, model):
        super().__init__()
        self.steps, self.parts = [], nn.ModuleDict()
        for layer in model.layers:
            tensors = layer._inbound_nodes[0].input_tensors
            given = [x._keras_history[0].name for x in tensors]
            self.steps.append((layer.name, given))
            self.parts[_plain(layer.name)] = _layer(layer)

    def forward(self, x):
        known = {}
        for name, given in self.steps:
            inputs = [known[k] for k in given] or [x]
            known[name] = self.parts[_plain(name)](*inputs)
        return known[self.steps[-1][0]]


def _plain(name: str) -> str:
    return name.replace(".", "-")  # torch wants names without dots


class _Add(nn.Module):
    def forward(self, a, b):
        return a + b


class _Scale(nn.Module):
    def forward(self, x):
        return x / 127.5 - 1


class _Mean(nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3))


def _layer(layer) -> nn.Module:
    """Return the module that does what a layer of MobileNetV2 does."""
    kind = type(layer).__name__
    if kind in ("Conv2D", "DepthwiseConv2D"):
        kernel = np.array(layer.get_weights()[0])
        deep = kind == "DepthwiseConv2D"
        axes = (2, 3, 0, 1) if deep else (3, 2, 0, 1)
        weight = torch.tensor(kernel.transpose(axes))
        stride, size = layer.strides[0], kernel.shape[0]
        same = layer.padding == "same" and stride == 1
        conv = nn.Conv2d(
            weight.shape[0] if deep else weight.shape[1],
            weight.shape[0],
            size,
            stride,
            size // 2 if same else 0,
            groups=weight.shape[0] if deep else 1,
            bias=False,
        )
        conv.weight.data = weight
        # "same" with a stride of 2 on an even size: one more below and right
        pad = layer.padding == "same" and stride == 2
        return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), conv) if pad else conv
    if kind == "BatchNormalization":
        gamma, beta, mean, variance = map(torch.tensor, layer.get_weights())
        norm = nn.BatchNorm2d(len(gamma), eps=layer.epsilon)
        norm.load_state_dict(
            {
                "weight": gamma,
                "bias": beta,
                "running_mean": mean,
                "running_var": variance,
            },
            strict=False,
        )
        return norm
    if kind == "ZeroPadding2D":
        (top, bottom), (left, right) = layer.padding
        return nn.ZeroPad2d((left, right, top, bottom))
    if kind == "Functional":
        return _Graph(layer)
    known = {
        "InputLayer": nn.Identity,
        "ReLU": nn.ReLU6,
        "Add": _Add,
        "Rescaling": _Scale,
        "GlobalAveragePooling2D": _Mean,
    }
    return known[kind]()


def load(folder: Path, side: int):
    """Return a `DataLoader` over a folder with one folder for each class."""
    return torch.utils.data.DataLoader(
        _Folder(folder, side), batch_size=32, num_workers=2
    )


class _Folder(torch.utils.data.Dataset):
    def __init__(self, folder: Path, side: int):
        self.paths, self.side = sorted(folder.rglob("*.jpg")), side

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        path = self.paths[i]
        with Image.open(path) as image:
            image = image.convert("RGB").resize((self.side, self.side))
        pixels = np.asarray(image, dtype="float32").transpose(2, 0, 1)
        return torch.from_numpy(pixels.copy()), int(path.parent.name == "Dog")
