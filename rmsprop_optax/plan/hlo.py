"""Bytes moved and collectives of a program that XLA compiled for a TPU, read from its text."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter")

_INSTRUCTION = re.compile(r"%([\w.-]+) = (.+?) ([a-z][\w-]*)\((.*?)\)(?:, (.*)|$)")
_ARRAY = re.compile(r"[a-z]+(\d*)\w*\[([\d,]*)\](?:\{([\d,]*):?([^}]*)\})?")
_NO_TRAFFIC = ("parameter", "constant", "bitcast", "tuple", "get-tuple-element", "while")
_SLICES = ("slice", "dynamic-slice")
_INTO = "dynamic-update-slice"

_Body = Sequence[tuple[str, ...]]  # instructions: name, type of the result, kind, operands, attributes
_Sizes = list[tuple[int, bool]]


def collectives(program: str) -> dict[str, dict[str, int]]:
    """Return kind → the "number" of collectives and the "bytes" of each device's operands or results, the larger."""
    bodies, found, seen = _bodies(program), {kind: {"number": 0, "bytes": 0} for kind in COLLECTIVES}, set()
    for times, name in _executed(bodies, "ENTRY"):
        for types, (_, result, kind, operands, attributes) in _typed(bodies[name]):
            its, channel = kind.removesuffix("-start"), re.search(r"channel_id=\d+", attributes or "")
            if its not in found or (channel and channel[0] in seen):  # an asynchronous one is in several fusions
                continue
            if channel:
                seen.add(channel[0])
            read, both = (sum(size for size, _ in sizes) for sizes in (_operands(types, operands), _sizes(result)))
            found[its]["number"] += times
            found[its]["bytes"] += times * max(read, both - read * (its != kind))  # a start's result has both
    return {kind: numbers for kind, numbers in found.items() if numbers["number"]}


def traffic(program: str) -> int:
    """Return the bytes of arrays that each device reads from its HBM and writes there.

    The compiler's ``cost_analysis()["bytes accessed"]`` also counts the traffic of on-chip memory, into which arrays
    are prefetched: up to five times as much. It counts the body of a loop once; this function counts every turn if the
    loop's condition compares with a constant.
    """
    bodies = _bodies(program)
    return sum(
        times * _moved(bodies, instruction, types)
        for times, name in _executed(bodies, "ENTRY", calls=False)
        for types, instruction in _typed(bodies[name])
    )


def _bodies(program: str) -> dict[str, _Body]:
    blocks = {block.split()[0]: block for block in re.split(r"\n(?=%|ENTRY )", program)}
    return {name: [m.groups() for m in map(_INSTRUCTION.search, b.split("\n")) if m] for name, b in blocks.items()}


def _executed(bodies: Mapping[str, _Body], name: str, times: int = 1, calls: bool = True) -> Iterator[tuple[int, str]]:
    """How often a computation runs, the bodies of its loops and, with ``calls``, what its instructions call."""
    yield times, name
    for _, _, kind, _, attributes in bodies[name]:
        called = dict(re.findall(r"(calls|condition|body)=(%[\w.-]+)", attributes or ""))
        if kind == "while":
            bounds = [
                int(n) for _, its, what, n, _ in bodies[called["condition"]] if what == "constant" and its[0] == "s"
            ]
            turns = bounds[0] if len(bounds) == 1 else 1
            yield from _executed(bodies, called["body"], times * turns, calls)
        elif calls and "calls" in called:
            yield from _executed(bodies, called["calls"], times)


def _typed(body: _Body) -> Iterator[tuple[dict[str, _Sizes], tuple[str, ...]]]:
    """Each instruction, and the sizes of all results so far by name."""
    types: dict[str, _Sizes] = {}
    for instruction in body:
        types[instruction[0]] = _sizes(instruction[1])
        yield types, instruction


def _operands(types: Mapping[str, _Sizes], operands: str) -> _Sizes:
    return [size for operand in re.findall(r"%([\w.-]+)", operands) for size in types[operand]]


def _moved(bodies: Mapping[str, _Body], instruction: tuple[str, ...], types: Mapping[str, _Sizes]) -> int:
    name, _, kind, operands, attributes = instruction
    if kind in _NO_TRAFFIC or kind.endswith("-done") or "ConcatBitcast" in (attributes or ""):
        return 0
    written, read = types[name], [types[operand] for operand in re.findall(r"%([\w.-]+)", operands)]
    if kind == "slice-start":  # the result is a tuple of the whole array and the slice
        whole, part = written[:2]
        written, read = [part], [[(part[0], whole[1])]]
    elif kind.endswith("-start"):  # the result is a tuple that contains the operands
        read = []
    elif kind in _SLICES:
        read[0] = [(written[0][0], read[0][0][1])]
    elif kind == _INTO:
        written, read = [(read[1][0][0], written[0][1])], read[1:]
    elif called := re.search(r"calls=(%[\w.-]+)", attributes or ""):
        body = bodies[called[1]]
        for number, size in _sliced(body).items():
            read[number] = [(size, read[number][0][1])]
        if aliased := _passed(body, attributes):  # a part of an asynchronous collective, whose start has written them
            written = [size for i, size in enumerate(written) if i not in aliased[0]]
            read = [sizes for i, sizes in enumerate(read) if i not in aliased[1]]
        elif body[-1][2] == _INTO:  # in place
            inner = {line[0]: line for line in body}
            into, update = re.findall(r"%([\w.-]+)", body[-1][3])[:2]
            written = [(_sizes(inner[update][1])[0][0], written[0][1])]
            if inner[into][2] == "parameter":
                read[int(inner[into][3])] = []
    return sum(size for size, in_hbm in [*written, *(array for arrays in read for array in arrays)] if in_hbm)


def _passed(body: _Body, attributes: str) -> tuple[set[int], set[int]] | None:
    """For a fusion with a collective, the numbers of the results that alias operands, and of those operands."""
    if not any(kind in COLLECTIVES for _, _, kind, _, _ in body):
        return None
    pairs = re.findall(r"\{(\d*)\}: \((\d+), \{\}\)", attributes)
    return ({int(result or 0) for result, _ in pairs}, {int(operand) for _, operand in pairs}) if pairs else None


def _sizes(types: str) -> _Sizes:
    """For each array its bytes, padded to whole tiles, and whether it is in the HBM; a scalar counts 0 bytes."""
    found = []
    for bits, dimensions, order, layout in _ARRAY.findall(types):
        if not dimensions:
            found.append((0, False))
            continue
        sizes = [list(map(int, dimensions.split(",")))[int(axis)] for axis in order.split(",")]
        tile = re.match(r"T\(([\d,]+)\)", layout)
        tiles = [int(size) for size in reversed(tile[1].split(","))] if tile else []
        padded = [-(-size // unit) * unit for size, unit in itertools.zip_longest(sizes, tiles, fillvalue=1)]
        found.append((math.prod(padded) * int(bits or 8) // 8, "S(" not in layout))
    return found


def _sliced(body: _Body) -> dict[int, int]:
    """Number of a parameter → bytes of its slices, for parameters that a fusion reads only in slices."""
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
