"""TPU chips, and the grids in which they are wired together."""

import difflib
import functools
import math
import re
from typing import NamedTuple


class Chip(NamedTuple):
    """One generation of TPUs.

    Attributes:
      usable: memory (HBM) that the compiler leaves to a program, in GiB a chip.
      bandwidth: of that memory, in GB/s a chip.
      operations: bfloat16 multiplications and additions, in 10¹² a second a chip.
      dimensions: of the grid in which chips are wired, 2 or 3.
      pod: chips of a whole pod, the largest grid.
      devices: JAX devices a chip.
      counted: units of a chip in Google Cloud's name of a grid: 1 if it counts chips, 2 if it counts TensorCores.
    """

    usable: float
    bandwidth: float
    operations: float
    dimensions: int
    pod: int
    devices: int = 1
    counted: int = 1


CHIPS = {
    "v4": Chip(30.75, 1200, 275, 3, 4096, counted=2),
    "v5e": Chip(15.75, 819, 197, 2, 256),
    "v5p": Chip(95.74, 2765, 459, 3, 8960, counted=2),
    "v6e": Chip(31.25, 1638, 918, 2, 256),
    "tpu7x": Chip(189.5, 7380, 2307, 3, 9216, devices=2, counted=2),
}
"""Name → :class:`Chip`.

Usable memory is the limit that libtpu 0.0.42.1 names when a program does not fit. On v5p it is 95.74 GiB, which
Google's page rounds down to 95. On tpu7x it is 94.75 GiB for each of the two devices.

Source of the other numbers: cloud.google.com/tpu/docs, pages v4, v5e, v5p and tpu7x. The bandwidth of v6e is on page
tpu7x; its own page rounds 1638 to 1600. Cloud's names count chips for v5e and v6e, and TensorCores for v4 and v5p.
Cloud has no such name for tpu7x; Google's tools xpk and MaxText count TensorCores."""

ALIASES = {"v5litepod": "v5e", "v5lite": "v5e"}
"""Other names of a chip → the name in :data:`CHIPS`."""


class Topology(NamedTuple):
    """A grid of chips.

    Attributes:
      name: as libtpu reads it, ``v5e:4x4``.
      chip: the kind of all chips.
      sizes: chips along each dimension.
    """

    name: str
    chip: Chip
    sizes: tuple[int, ...]

    @property
    def chips(self) -> int:
        """The number of chips."""
        return math.prod(self.sizes)

    @property
    def devices(self) -> int:
        """The number of JAX devices."""
        return self.chips * self.chip.devices


def topology_of(name: str) -> Topology:
    """Return the topology that a name means.

    ``v5e:4x4`` names the sizes of the grid. ``v5e-16`` and ``v5litepod-16`` are Google Cloud's names and mean the grid
    that Cloud gives by default, the one nearest to a square or a cube. Such a name counts chips for v5e and v6e, and
    TensorCores, two a chip, for v4, v5p and tpu7x.

    Args:
      name: chip and sizes, or chip and number.

    Raises:
      ValueError: there is no such topology. The message names the nearest one.

    Example:
      >>> topology_of("v5p:2x2x4").chips, topology_of("v5litepod-16").name, topology_of("v5p-32").name
      (16, 'v5e:4x4', 'v5p:2x2x4')
    """
    text = str(name).strip().lower()
    kind, mark, rest = text.partition(":" if ":" in text else "-")
    kind = ALIASES.get(kind, kind)
    if kind not in CHIPS:
        near = difflib.get_close_matches(kind, [*CHIPS, *ALIASES], n=2)
        hint = f" Did you mean {' or '.join(other + mark + rest for other in near)}?" if near else ""
        raise ValueError(
            f"topology {name!r}: must begin with a chip, {', '.join(CHIPS)}, as in v5e:4x4 or v5e-16.{hint}"
        )
    chip = CHIPS[kind]
    sizes = _named(chip, rest) if mark == "-" else _written(chip, rest)
    if sizes is None:
        form = f"{kind}:{'x'.join('ABC'[: chip.dimensions])}"
        raise ValueError(f"topology {name!r}: write {form}, or {kind}-N as Google Cloud does. {_hint(kind, rest)}")
    if any(size % 2 and size > 1 for size in sizes):
        raise ValueError(f"topology {name!r}: each size must be 1 or even. {_hint(kind, rest)}")
    if math.prod(sizes) > chip.pod:
        raise ValueError(
            f"topology {name!r}: a pod of {kind} has {chip.pod} chips, got {math.prod(sizes)}. {_hint(kind, rest)}"
        )
    return Topology(f"{kind}:{_grid(sizes)}", chip, sizes)


def _written(chip: Chip, sizes: str) -> tuple[int, ...] | None:
    """The sizes in ``4x4``."""
    written = re.fullmatch("x".join([r"[1-9]\d{0,3}"] * chip.dimensions), sizes, re.ASCII)
    return tuple(map(int, sizes.split("x"))) if written else None


def _named(chip: Chip, number: str) -> tuple[int, ...] | None:
    """The sizes that Cloud gives for the number in ``v5e-16``."""
    if not re.fullmatch(r"\d{1,6}", number, re.ASCII) or int(number) % chip.counted:
        return None
    return _defaults(chip.dimensions, chip.pod).get(int(number) // chip.counted)


@functools.cache
def _defaults(dimensions: int, pod: int) -> dict[int, tuple[int, ...]]:
    """Number of chips → the sizes that Cloud gives by default, which are those nearest to a square or a cube.

    Above 32 chips a grid of three dimensions is made of cubes of 4x4x4.
    """
    if dimensions == 2:
        small: list[tuple[int, ...]] = [(1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16)]
        return {math.prod(sizes): sizes for sizes in small}
    small = [(2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4)]
    most = pod // 64
    edges = [(a, b, c) for a in range(1, 6) for b in range(a, 13) for c in range(b, most // (a * b) + 1)]
    cubes = [tuple(4 * edge for edge in three) for three in sorted(edges, key=sum, reverse=True)]
    return {math.prod(sizes): sizes for sizes in [*small, *cubes]}  # the most cubic comes last and stays


def _hint(kind: str, rest: str) -> str:
    """The default grid whose number of chips is nearest to the number written after the chip."""
    chip = CHIPS[kind]
    numbers = [int(number[:6]) for number in re.findall(r"\d+", rest, re.ASCII)] or [16 * chip.counted]
    chips = numbers[0] / chip.counted if len(numbers) == 1 else math.prod(numbers)
    defaults = _defaults(chip.dimensions, chip.pod)
    nearest = min(defaults, key=lambda number: abs(number - chips))
    return f"Did you mean {kind}:{_grid(defaults[nearest])}, which Cloud calls {kind}-{nearest * chip.counted}?"


def _grid(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))
