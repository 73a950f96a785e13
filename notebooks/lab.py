"""Checks and worked solutions of notebook 08; do not read before you tried."""

import inspect

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage

RNG = np.random.default_rng(3)
LABELS = np.array([0, 1, 2, 2, 3, 3, 3, 0, 1, 2])
PROBABILITIES = RNG.dirichlet(np.ones(4), len(LABELS))
PREDICTED = np.array([0, 2, 2, 2, 1, 1, 3, 0, 2, 2])
MEANS = np.array([[0, 0, 1.0], [9, 9, 0], [0, 0.1, 1], [9, 8, 0]])
CONFUSION = np.array([[9, 0, 5, 0], [1, 7, 0, 0], [3, 0, 6, 1], [0, 0, 0, 4]])


def top_k_accuracy(probabilities, labels, k):
    best = probabilities.argsort(axis=1)[:, -k:]
    return (best == labels[:, None]).any(axis=1).mean()


def to_species(probabilities, species):
    kinds = np.unique(species)
    sums = [probabilities[:, species == kind].sum(axis=1) for kind in kinds]
    return np.stack(sums, axis=1)


def right_by_class(predicted, labels):
    classes = np.unique(labels)
    right = [(predicted[labels == c] == c).sum() for c in classes]
    return np.array(right), np.array([(labels == c).sum() for c in classes])


def order_of_likeness(means):
    tree = linkage(means, "average", metric="cosine", optimal_ordering=True)
    return leaves_list(tree)


def most_confused(confusion, n):
    mistakes = confusion - np.diag(np.diag(confusion))
    places = mistakes.argsort(axis=None, kind="stable")[::-1][:n]
    pairs = zip(*np.unravel_index(places, mistakes.shape), strict=True)
    return [(int(i), int(j)) for i, j in pairs if mistakes[i, j]]


# What each task is tried with, and a word for the one who fails
TASKS = {
    top_k_accuracy: (
        [(PROBABILITIES, LABELS, k) for k in (1, 2, 4)],
        "count an image as right if its label is among the k classes with "
        "the highest probability, then take the mean",
    ),
    to_species: (
        [(PROBABILITIES, np.array(["cat", "dog", "cat", "dog"]))],
        "one column for each species in alphabetical order, in it the sum of "
        "the probabilities of that species' breeds",
    ),
    right_by_class: (
        [(PREDICTED, LABELS)],
        "give two arrays, for each class: how many of its images were "
        "answered rightly, and how many it has",
    ),
    order_of_likeness: (
        [(MEANS,)],
        "classes 0 and 2 are nearly the same, and so are 1 and 3: each pair "
        "must stand together",
    ),
    most_confused: (
        [(CONFUSION, 1), (CONFUSION, 3)],
        "look beside the diagonal only, take the largest counts first, and "
        "give pairs (true class, predicted class) of whole numbers",
    ),
}


def check(mine, *, solution: bool = False):
    """Try a student's function, say how it fares, give one to go on with.

    Args:
        mine: The function; its name tells which task it is.
        solution: Take the worked solution and try nothing.

    Returns:
        `mine` if it is right, else the worked solution.
    """
    name = mine.__name__
    worked = {task.__name__: task for task in TASKS}[name]
    cases, hint = TASKS[worked]
    said = "The worked solution is used."
    if not solution:
        verdicts = [_try(mine, worked, case) for case in cases]
        said = next(filter(None, verdicts), "")
        if not said:
            print(f"{name}: right. Well done!")
            return mine
        said += f"\nHint: {hint}.\nUntil then the worked solution is used."
    print(f"{name}: {said}")
    return worked


def source(name: str) -> str:
    """Return the text of a worked solution, as the notebook unfolds it."""
    return inspect.getsource({t.__name__: t for t in TASKS}[name])


def _try(mine, worked, case) -> str:
    """Return what is wrong with an answer, or nothing."""
    wanted = worked(*case)
    try:
        got = mine(*[np.copy(x) if hasattr(x, "shape") else x for x in case])
    except Exception as error:
        return f"your code stops with {type(error).__name__}: {error}."
    if got is None or got is Ellipsis:
        return "still open: replace the dots by your code."
    if worked is order_of_likeness:  # any order is right that keeps the pairs
        got, wanted = _pairs(got), _pairs(wanted)
    try:
        same = np.shape(got) == np.shape(wanted) and np.allclose(got, wanted)
    except (TypeError, ValueError):
        same = False
    if same:
        return ""
    shown = f"{np.round(wanted, 3).tolist()}, yours gives {got!r}"
    return f"not yet: for a small example it should be {shown}."


def _pairs(order):
    try:
        order = np.asarray(order).astype(int).tolist()
    except (TypeError, ValueError):
        return order
    halves = sorted([sorted(order[:2]), sorted(order[2:])])
    return halves if sorted(order) == [0, 1, 2, 3] else order
