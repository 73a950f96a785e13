"""Find photographs that are copies of one another, exact, near or recoloured.

The limits were measured on 13,000 photographs of cats and dogs and on copies
made of 1,000 of them. With them, no two different photographs are taken for
copies (of those with at most 8 different bits, the nearest differ by 22 grey
levels; of the sample's drawings, by 15), and 99 % are found of the copies
that were compressed, resized, made brighter (x 1.2) or darker, of higher
contrast (x 1.3) or grey, and of those that lost 1.5 % at each side.
"""

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

MAX_HASH_DISTANCE = 8  # of 64 bits
MAX_DIFFERENCE = 14.0  # of 255, mean over 16 x 16 thumbnails
MAX_RECOLOURED = 10.0  # likewise, in grey, mean and contrast made the same
CONTRAST = 50.0  # the common standard deviation; that of most photographs
PLAIN = 8.0  # a standard deviation below which there is nothing to compare
# A near copy of which no part differs is nearly identical: no cell of 32 x 32,
# (16 x 16 of a small picture) does by more, nor by half of the contrast.
MAX_CELL_DIFFERENCE = 24
MANY = 20  # so many near copies are frames of a scene, not copies of a file
BOX = Image.Resampling.BOX


def difference_hash(image: Image.Image) -> int:
    """Hash a picture so that its near copies get nearly the same bits.

    The dHash of N. Krawetz (hackerfactor.com, "Kind of Like That", 2013): is
    each pixel of a 9 x 8 grey thumbnail darker than its right neighbour?

    Args:
        image: In RGB, of any size.

    Returns:
        64 bits as an integer in [0, 2**64).
    """
    grey = np.asarray(image.convert("L").resize((9, 8), BOX))
    bits = np.packbits(grey[:, 1:] > grey[:, :-1])
    return int.from_bytes(bits.tobytes(), "big")


def find_copies(
    images: np.ndarray, rows: np.ndarray, hashes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Number photographs so that copies of one another have the same number.

    Pictures that a chain of near copies links form a group of up to `MANY`. A
    longer chain is cut: each of its groups holds near copies of one picture,
    first of the one in the middle of all, so that a chain never joins a whole
    data set.

    Args:
        images: Pictures of shape `(n, size, size, 3)`, `uint8`.
        rows: Those of the n to compare, in rising order.
        hashes: `difference_hash` of each picture, shape `(n,)`, `uint64`.

    Returns:
        group: Shape `(n,)`: for each picture the row of the first of its near
            copies; its own row if it has none before it.
        duplicate: Likewise for nearly identical pictures. In a group of more
            than `MANY`, the frames of a fixed camera, only pictures of the
            same pixels count as such: there a small part tells the class.
    """
    thumbnails = _Thumbnails(images, rows)
    star, links = _link(hashes[rows], thumbnails)
    position = _components(links, len(rows))
    for first in np.flatnonzero(np.bincount(position) > MANY):
        _cut(np.flatnonzero(position == first), position, star, thumbnails)
    group = np.arange(len(images))
    group[rows] = rows[position]
    duplicate = np.arange(len(images))
    order = np.argsort(group, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if len(members) > 1:
            duplicate[members] = members[_identical(images, members)]
    return group, duplicate


class _Thumbnails:
    """Small versions of pictures, made when they are first compared."""

    def __init__(self, images, rows):
        self.images, self.rows = images, rows
        self.known = np.zeros(len(rows), bool)
        self.colour = np.zeros((len(rows), 16 * 16, 3), np.int16)
        self.grey = np.zeros((len(rows), 16 * 16), np.float32)
        self.mean = np.zeros((len(rows), 3), np.float32)
        self.plain = np.zeros(len(rows), bool)

    def near(self, i: int, others: np.ndarray) -> np.ndarray:
        """Return those of `others` that are near copies of picture `i`."""
        for j in (i, *others[~self.known[others]]):
            if not self.known[j]:
                self._add(j)
        recoloured = ~(self.plain[others] | self.plain[i])
        # Colours that differ on the whole differ in the thumbnails as well.
        colours = np.abs(self.mean[others] - self.mean[i]).mean(1)
        likely = recoloured | (colours <= MAX_DIFFERENCE)
        others, recoloured = others[likely], recoloured[likely]
        grey = np.abs(self.grey[others] - self.grey[i]).mean(1)
        found = recoloured & (grey <= MAX_RECOLOURED)
        rest = others[~found]
        colour = np.abs(self.colour[rest] - self.colour[i]).mean((1, 2))
        found[~found] = colour <= MAX_DIFFERENCE
        return others[found]

    def _add(self, i: int) -> None:
        small = _thumbnail(self.images[self.rows[i]], 16).reshape(-1, 3)
        grey = small @ np.float32([0.299, 0.587, 0.114])
        spread = grey.std()
        self.known[i], self.plain[i] = True, spread < PLAIN
        self.colour[i], self.mean[i] = small, small.mean(0)
        self.grey[i] = (grey - grey.mean()) / max(spread, PLAIN) * CONTRAST


def _thumbnail(image: np.ndarray, side: int) -> np.ndarray:
    small = Image.fromarray(image).resize((side, side), BOX)
    return np.asarray(small, dtype=np.int16)


def _link(hashes, thumbnails) -> tuple[np.ndarray, list]:
    """Return the picture that each gathers around, and pairs of near copies.

    All pairs of hashes are compared, which takes 25,000 pictures a second or
    two. But a picture with a near copy around which others gather already is
    not compared with those others: so thousands of frames of one scene, or
    of plain pictures, take no longer.
    """
    star, links = np.arange(len(hashes)), []
    leads = np.ones(len(hashes), bool)
    for i in range(1, len(hashes)):
        bits = np.bitwise_count(hashes[:i] ^ hashes[i])
        close = np.flatnonzero(bits <= MAX_HASH_DISTANCE)
        if not len(close):
            continue
        near = thumbnails.near(i, close[leads[close]])
        if len(near):
            star[i], leads[i] = near[0], False
        else:
            near = thumbnails.near(i, close[~leads[close]])
        links += [(i, j) for j in near]
    return star, links


def _cut(members, position, star, thumbnails) -> None:
    """Cut a long chain: what is near its middle, and stars of the rest."""
    colours = thumbnails.colour[members]
    middle = np.abs(colours - colours.mean(0)).mean((1, 2)).argmin()
    near = thumbnails.near(members[middle], members)
    rest = np.setdiff1d(members, near)
    position[near] = near[0]
    # A star whose first picture is near the middle goes on without it.
    _, first, which = np.unique(
        star[rest], return_index=True, return_inverse=True
    )
    position[rest] = rest[first][which]


def _components(links: list, n: int) -> np.ndarray:
    """Return for each of n the first one that a chain of links leads to."""
    pairs = np.array(links, dtype=int).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    _, first = np.unique(component, return_index=True)
    return first[component]


def _identical(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return for each of `rows` the position of the first one like it."""
    if len(rows) > MANY:
        pixels = [hash(images[row].tobytes()) for row in rows]
        _, first, which = np.unique(
            pixels, return_index=True, return_inverse=True
        )
        return first[which]
    side = min(32, max(16, images.shape[1] // 4))
    small = np.stack([_thumbnail(images[row], side) for row in rows])
    contrast = small.std((1, 2)).max(1)
    limit = np.minimum(MAX_CELL_DIFFERENCE, contrast / 2)
    links = [
        (i, j)
        for i in range(len(rows))
        for j in range(i)
        if np.abs(small[i] - small[j]).max() <= min(limit[i], limit[j])
    ]
    return _components(links, len(rows))
