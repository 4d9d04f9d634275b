"""What a program that XLA compiled for a TPU does, read from its text: kernels, collectives, bytes moved."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence

COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter")

_INSTRUCTION = re.compile(r"%([\w.-]+) = (.+?) ([a-z][\w-]*)\((.*?)\)(?:, (.*)|$)")
_ARRAY = re.compile(r"[a-z]+(\d*)\w*\[([\d,]+)\]\{([\d,]+):?([^}]*)\}")
_NO_TRAFFIC = ("parameter", "constant", "bitcast", "tuple", "get-tuple-element")
_SLICES = ("slice", "dynamic-slice")


def kernels(program: str) -> int:
    """Return the number of fused kernels in the entry computation."""
    return program[program.index("\nENTRY") :].count(" fusion(")


def collectives(program: str) -> Counter[str]:
    """Return kind → number of collectives; kinds are those of :data:`COLLECTIVES`."""
    return Counter(re.findall(rf" ({'|'.join(COLLECTIVES)})(?:-start)?\(", program))


def traffic(program: str) -> int:
    """Return the bytes of arrays that each device reads from its HBM and writes there.

    The compiler's ``cost_analysis()["bytes accessed"]`` counts traffic of the chip's own memory too, into which arrays
    are prefetched. For a tree of arrays it is up to four times as much.
    """
    blocks = {block.split()[0]: block for block in re.split(r"\n(?=%|ENTRY )", program)}
    bodies = {name: [m.groups() for m in map(_INSTRUCTION.search, b.split("\n")) if m] for name, b in blocks.items()}
    types: dict[str, list[tuple[int, bool]]] = {}
    moved = 0
    for name, result, kind, operands, attributes in bodies["ENTRY"]:
        types[name] = written = _sizes(result)
        read = [types[operand] for operand in re.findall(r"%([\w.-]+)", operands)]
        if kind in _NO_TRAFFIC or kind.endswith("-done"):
            continue
        if kind == "slice-start":  # the result is a tuple of the whole array and the slice
            whole, part = written[:2]
            written, read = [part], [[(part[0], whole[1])]]
        elif kind.endswith("-start"):  # the result is a tuple that contains the operands
            read = []
        elif kind in _SLICES:
            read[0] = [(written[0][0], read[0][0][1])]
        elif called := re.search(r"calls=(%[\w.-]+)", attributes or ""):
            for number, size in _sliced(bodies[called[1]]).items():
                read[number] = [(size, read[number][0][1])]
        moved += sum(size for size, in_hbm in [*written, *(array for arrays in read for array in arrays)] if in_hbm)
    return moved


def _sizes(types: str) -> list[tuple[int, bool]]:
    """For each array its bytes, padded to whole tiles, and whether it is in the HBM."""
    found = []
    for bits, dimensions, order, layout in _ARRAY.findall(types):
        sizes = [list(map(int, dimensions.split(",")))[int(axis)] for axis in order.split(",")]
        tile = re.match(r"T\(([\d,]+)\)", layout)
        tiles = [int(size) for size in reversed(tile[1].split(","))] if tile else []
        padded = [-(-size // unit) * unit for size, unit in itertools.zip_longest(sizes, tiles, fillvalue=1)]
        found.append((math.prod(padded) * int(bits or 8) // 8, "S(" not in layout))
    return found


def _sliced(body: Sequence[tuple[str, ...]]) -> dict[int, int]:
    """Number of a parameter → bytes of its slices, for parameters of which a fusion reads nothing but slices."""
    numbers = {name: int(operands) for name, _, kind, operands, _ in body if kind == "parameter"}
    read: Counter[int | None] = Counter()
    whole: set[int | None] = {None}
    for _, result, kind, operands, _ in body:
        used = [numbers.get(name) for name in re.findall(r"%([\w.-]+)", operands)]
        if kind in _SLICES:
            read[used[0]] += _sizes(result)[0][0]
        else:
            whole.update(used)
    return {number: size for number, size in read.items() if number is not None and number not in whole}
