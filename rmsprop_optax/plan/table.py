"""A plan as a table, for a terminal or in Markdown."""

from collections.abc import Mapping

from rmsprop_optax._columns import aligned
from rmsprop_optax.plan.arithmetic import Plan
from rmsprop_optax.plan.step import SHARDINGS

_HEADER = ["storage", "state", "moved", "at least", "kernels", "collectives", "temporary", "time", "memory"]
_LEGEND = """\
state: bytes a parameter, and bytes on a chip. moved: bytes that a step reads and writes; at least: the least that the
arrays need. time: bytes moved ÷ memory bandwidth, without collectives; nothing is executed, so it is a lower bound.
memory: share of the chip's memory that parameters, gradients, state and temporary arrays take."""
_BY_ARRAY = """\
Each array is compiled alone. In one program the arrays share the chip's own memory, and a step moves somewhat more."""


def text(plan: Plan) -> str:
    """Return a plan as aligned columns between head and legend."""
    return "\n".join([*_head(plan), "", aligned([_HEADER, *_rows(plan)]), "", *_legend(plan)])


def markdown(plan: Plan) -> str:
    """Return a plan as a Markdown table between head and legend."""
    lines = [_HEADER, ["---"] + ["---:"] * (len(_HEADER) - 1), *_rows(plan)]
    return "\n".join([*_head(plan), "", *(f"| {' | '.join(line)} |" for line in lines), "", *_legend(plan)])


def _head(plan: Plan) -> list[str]:
    extras = {
        f"momentum in {plan['momentum_storage']}": plan["momentum_storage"],
        "centered": plan["centered"],
        "with a remainder": plan["remainder"],
    }
    kind = ", ".join([f"{plan['dtype']} parameters and gradients", *(name for name, on in extras.items() if on)])
    each = bytes_text(plan["rows"][0]["parameter_bytes"])
    usable = plan["usable_memory"]
    lines = [
        f"{plan['parameters']:,} parameters in {plan['arrays']:,} arrays; {plan['chips']:,} chips, {plan['topology']}",
        f"{plan['sharding']}: {SHARDINGS[plan['sharding']]}; {kind}",
        f"each chip: {each} of parameters, {each} of gradients; a program can use {usable / 1e9:.4g} GB "
        f"({usable / 2**30:.4g} GiB) of HBM at {plan['bandwidth'] / 1e9:g} GB/s",
    ]
    whole = plan["undivided"]
    if whole["arrays"]:
        arrays, parameters = f"{whole['arrays']:,} arrays", f"{whole['parameters']:,} parameters"
        lines.append(f"whole on every chip: {arrays}, {parameters}; the chips divide none of their dimensions")
    return lines


def _rows(plan: Plan) -> list[list[str]]:
    rows = []
    for row in plan["rows"]:
        found, least = row["compiled"], row["arithmetic"]
        best, compiled = found or least, ["-", "-", "-"]
        if found:
            kinds = ", ".join(f"{number:,} {kind}" for kind, number in found["collectives"].items()) or "none"
            compiled = [f"{found['kernels']:,}", kinds, bytes_text(found["temporary"])]
        rows.append(
            [
                row["storage"],
                f"{row['state_per_parameter']:.3g} B, {bytes_text(row['state'])}",
                f"{best['moved_per_parameter']:.4g} B, {bytes_text(best['moved'])}",
                f"{least['moved_per_parameter']:.4g} B",
                *compiled,
                _in_units(best["seconds"], {"s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}),
                f"{100 * row['memory'] / plan['usable_memory']:.3g} %{'' if row['fits'] else ', does not fit'}",
            ]
        )
    return rows


def _legend(plan: Plan) -> list[str]:
    compiled = any(row["compiled"] for row in plan["rows"])
    return [_LEGEND, _BY_ARRAY] if compiled and plan["sharding"] == "zero1" else [_LEGEND]


def bytes_text(number: float) -> str:
    """Return a number of bytes in three digits: ``1.63 GB`` is 1.63·10⁹ bytes."""
    return _in_units(number, {"TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3, "B": 1})


def _in_units(number: float, units: Mapping[str, float]) -> str:
    """Three digits, in the largest unit that is not above the number."""
    unit = next((name for name, size in units.items() if number >= 0.9995 * size), [*units][-1])
    return f"{number / units[unit]:.3g} {unit}"
