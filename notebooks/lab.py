"""Checks and worked solutions of notebook 10; do not read before you tried."""

import copy
import inspect
import itertools
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

import catdog_helpers as ch


def to_raw(pixels):
    if pixels.min() < 0:  # -1 to 1
        return (pixels + 1) * 127.5
    if pixels.max() <= 1:  # 0 to 1
        return pixels * 255
    return pixels


def open_last(model, n):
    weighted = [layer for layer in model.layers if layer.weights]
    for layer in weighted:
        layer.trainable = False
    for layer in weighted[max(0, len(weighted) - n) :]:
        if not isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = True


def rate_at(step, steps, peak, warmup):
    if step < warmup:
        return peak * step / warmup
    done = (step - warmup) / (steps - warmup)
    return peak * (1 + np.cos(np.pi * done)) / 2


def worth_it(frozen, tuned):
    pair = ch.study.mcnemar(tuned, frozen)
    return pair["difference"] > 0 and pair["p"] < 0.05


def most_confused(confusion, n):
    mistakes = confusion - np.diag(np.diag(confusion))
    places = mistakes.argsort(axis=None, kind="stable")[::-1][:n]
    pairs = zip(*np.unravel_index(places, mistakes.shape), strict=True)
    return [(int(i), int(j)) for i, j in pairs if mistakes[i, j]]


def _small_model(blocks: int):
    """Build a model whose layers have plain names."""
    layers = [keras.Input((16, 16, 3))]
    for number in range(1, blocks + 1):
        layers.append(keras.layers.Conv2D(4, 3, name=f"conv_{number}"))
        layers.append(keras.layers.BatchNormalization(name=f"norm_{number}"))
    return keras.Sequential(layers[:-1])


# In turn, so that five draws hold every kind and no wrong answer gets through
SCALES = itertools.cycle(
    [lambda x: x, lambda x: x / 255, lambda x: x / 127.5 - 1]
)
WARMING = itertools.cycle([True, False])
# Gain and loss: too few for McNemar's test, clearly worse, too even, better
GAIN_AND_LOSS = itertools.cycle(
    [
        ((1, 4), (0, 1)),
        ((0, 4), (20, 30)),
        ((14, 18), (9, 12)),
        ((12, 20), (0, 3)),
    ]
)


def _draw_pixels(rng):
    raw = rng.integers(0, 256, (2, 3)).astype("float64")
    raw[0, :2] = 0, 255
    return (next(SCALES)(raw),)


def _draw_rate(rng):
    warmup = int(rng.integers(2, 9))
    steps = int(rng.integers(20, 99))
    ends = (0, warmup) if next(WARMING) else (warmup, steps)
    return int(rng.integers(*ends)), steps, 1e-3, warmup


def _draw_right(rng):
    gain, loss = (rng.integers(*ends) for ends in next(GAIN_AND_LOSS))
    both = rng.integers(20, 60)
    frozen = np.repeat([True, False, True], [both, gain, loss])
    return frozen, np.repeat([True, True, False], [both, gain, loss])


def _draw_confusion(rng):
    return rng.integers(0, 6, (4, 4)), int(rng.integers(1, 5))


def _same_numbers(got, wanted, arguments) -> bool:
    return np.shape(got) == np.shape(wanted) and np.allclose(got, wanted)


def _same_truth(got, wanted, arguments) -> bool:
    return isinstance(got, bool | np.bool_) and bool(got) == bool(wanted)


def _as_many_mistakes(got, wanted, arguments) -> bool:
    """Accept any pairs with the same counts: ties have no order."""
    confusion, _ = arguments
    pairs = [(int(i), int(j)) for i, j in got]
    inside = all(i != j and min(i, j) >= 0 for i, j in pairs)
    counts = [confusion[pair] for pair in pairs]
    best = [confusion[pair] for pair in wanted]
    return inside and len(set(pairs)) == len(pairs) and counts == best


class Task(NamedTuple):
    """What a task is tried with, and what is said to whoever fails."""

    solve: Callable
    example: Callable[[], tuple]  # arguments that are shown
    draw: Callable  # from a random generator to other arguments
    same: Callable
    hint: str


FROZEN = np.array([True] * 12 + [False] * 8)
CONFUSION = np.array([[9, 0, 5, 0], [1, 7, 0, 0], [3, 0, 6, 1], [0, 0, 0, 4]])
TASKS = {
    "to_raw": Task(
        to_raw,
        lambda: (np.array([[0.0, 0.5, 1.0]]),),
        _draw_pixels,
        _same_numbers,
        "look at the smallest and the largest value to find out how the "
        "pixels were scaled, then undo it",
    ),
    "open_last": Task(
        open_last,
        lambda: (_small_model(3), 3),
        lambda rng: (_small_model(rng.integers(2, 5)), int(rng.integers(1, 4))),
        lambda got, wanted, arguments: got == wanted,
        "freeze every layer, then open the last n of those that have "
        "weights, but no BatchNormalization among them; return nothing",
    ),
    "rate_at": Task(
        rate_at,
        lambda: (55, 100, 0.001, 10),
        _draw_rate,
        _same_numbers,
        "before `warmup`, the rate is peak times step / warmup; after it, "
        "half a cosine falls from peak to 0 at `steps`",
    ),
    "worth_it": Task(
        worth_it,
        lambda: (FROZEN, np.full(20, True)),  # the only one that is worth it
        _draw_right,
        _same_truth,
        "give True only if the fine-tuned model is right on more images and "
        "McNemar's p is below 0.05; ch.study.mcnemar gives both",
    ),
    "most_confused": Task(
        most_confused,
        lambda: (CONFUSION, 5),  # only four pairs have mistakes
        _draw_confusion,
        _as_many_mistakes,
        "look beside the diagonal only, take the largest counts first, leave "
        "out pairs without a mistake, and give (true class, answer)",
    ),
}


def check(name: str, mine: Callable, *, solution: bool = False) -> Callable:
    """Try a student's function, say how it fares, return one that works.

    Args:
        name: Of the task, such as "to_raw".
        mine: The student's function, under any name; a lambda is one, too.
        solution: Take the worked solution without trying anything.

    Returns:
        `mine` if it is right, else the worked solution.
    """
    task = TASKS[name]
    if solution:
        print(f"{name}: The worked solution is used.")
        return task.solve
    rng = np.random.default_rng()  # other numbers each time
    drawn = [(lambda: task.draw(rng)) for _ in range(5)]
    for make in (task.example, *drawn):
        if problem := _try(name, mine, make()):
            print(f"{name}: {problem}\nHint: {task.hint}.")
            print("Until then the worked solution is used.")
            return task.solve
    print(f"{name}: right. Well done!")
    return mine


def source(name: str) -> str:
    """Return the text of a worked solution."""
    return inspect.getsource(TASKS[name].solve)


def _try(name: str, mine: Callable, arguments: tuple) -> str:
    """Return what is wrong with an answer, or nothing."""
    task = TASKS[name]
    shown = ", ".join(map(_shown, arguments))
    wanted = _answer(name, task.solve, arguments)
    example = f"Example: {name}({shown}) should give {_shown(wanted)}"
    try:
        got = _answer(name, mine, arguments)
    except Exception as error:
        return (
            f"your code stops with {type(error).__name__}: {error}.\n{example}."
        )
    if got is None:
        return f"your function returns nothing: is `return` there?\n{example}."
    if got is Ellipsis:
        return f"still open: replace the dots by your code.\n{example}."
    try:
        right = task.same(got, wanted, arguments)
    except (TypeError, ValueError, IndexError):
        right = False
    return "" if right else f"not yet. {example}; yours gives {_shown(got)}."


def _answer(name: str, function: Callable, arguments: tuple):
    """Call a function on copies; of `open_last`, see what it opened."""
    if name != "open_last":
        return function(*copy.deepcopy(arguments))
    model, n = arguments
    model = keras.models.clone_model(model)
    if function(model, n) is Ellipsis:
        return ...
    return [x.name for x in model.layers if x.trainable and x.weights]


def _shown(value) -> str:
    """Format an argument or an answer on one line."""
    if isinstance(value, keras.Model):
        weighted = [layer.name for layer in value.layers if layer.weights]
        return f"model of {', '.join(weighted)}"
    if isinstance(value, np.ndarray | np.generic):
        exact = value.dtype.kind != "f"
        value = (value if exact else value.round(6)).tolist()
    return repr(value)
