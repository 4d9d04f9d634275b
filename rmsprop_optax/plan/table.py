"""A plan as a table, for a terminal or in Markdown."""

from collections.abc import Mapping

from rmsprop_optax._columns import aligned
from rmsprop_optax.plan.costs import Plan

_HEADER = ["optimizer", "state", "moved", "collectives", "temporary", "at least", "optimizer's", "time", "memory"]
_COMPILED = """\
moved: bytes a parameter, and bytes on a chip, that the compiled step reads and writes, activations included; at least:
if each argument is read once and each result written once. collectives: number, and bytes of a chip."""
_ARITHMETIC = """\
Arithmetic, not compiled: at least is what the step moves if it reads each argument once and writes each result once,
without activations, gradients and temporary memory. memory counts parameters, gradients and state."""
_WHOLE = "No row has ZeRO-1: it would divide no state further than its parameters are divided."
_LESS = "Below 0 %: the step with ZeRO-1 moves less than that with SGD."
_LEGEND = """\
state: bytes a parameter, and bytes on a chip. optimizer's: the part that the same step with SGD does not move. time:
bytes ÷ memory bandwidth, without collectives; nothing is executed, so it is a lower bound. memory: the share of a
chip's memory that is in use."""


def text(plan: Plan) -> str:
    """Return a plan as aligned columns between head and legend."""
    return "\n".join([*_head(plan), "", aligned([_HEADER, *_rows(plan)]), "", *_legend(plan)])


def markdown(plan: Plan) -> str:
    """Return a plan as a Markdown table between head and legend."""
    lines = [_HEADER, ["---"] + ["---:"] * (len(_HEADER) - 1), *_rows(plan)]
    return "\n".join([*_head(plan), "", *(f"| {' | '.join(line)} |" for line in lines), "", *_legend(plan)])


def _head(plan: Plan) -> list[str]:
    usable = plan["usable_memory"]
    axes = ", ".join(f"{name} {size:,}" for name, size in plan["mesh"].items())
    lines = [
        f"{plan['parameters']:,} parameters in {plan['arrays']:,} arrays; {plan['chips']:,} "
        f"{'chip' if plan['chips'] == 1 else 'chips'}, {plan['topology']} ({axes})",
        f"each chip: {bytes_text(plan['parameter_bytes'])} of parameters; a program can use {usable / 1e9:.4g} GB "
        f"({usable / 2**30:.4g} GiB) of HBM at {plan['bandwidth'] / 1e9:g} GB/s",
    ]
    if plan["operations"] is not None and plan["seconds"] is not None:
        size, power = (1e12, "10¹²") if plan["operations"] >= 0.9995e12 else (1e9, "10⁹")
        lines.append(
            f"matrix products and convolutions: {plan['operations'] / size:.3g}·{power} operations a chip, at least "
            f"{_seconds(plan['seconds'])} at its peak in bfloat16"
        )
    return lines


def _rows(plan: Plan) -> list[list[str]]:
    rows, each = [], plan["parameters_of_a_chip"]
    for row in plan["rows"]:
        compiled = ["-", "-", "-"]
        if row["moved"] is not None and row["collectives"] is not None and row["temporary"] is not None:
            kinds = (f"{n['number']:,} {kind} {bytes_text(n['bytes'])}" for kind, n in row["collectives"].items())
            moved = f"{row['moved'] / each:.4g} B, {bytes_text(row['moved'])}"
            compiled = [moved, ", ".join(kinds) or "none", bytes_text(row["temporary"])]
        rows.append(
            [
                f"{row['optimizer']}{', ZeRO-1' if row['zero'] else ''}",
                f"{row['state_per_parameter']:.3g} B, {bytes_text(row['state'])}",
                *compiled,
                f"{row['least'] / each:.4g} B",
                f"{100 * row['share']:.0f} %",
                _seconds(row["seconds"]),
                f"{100 * row['memory'] / plan['usable_memory']:.3g} %{'' if row['fits'] else ', does not fit'}",
            ]
        )
    return rows


def _legend(plan: Plan) -> list[str]:
    compiled = any(row["moved"] is not None for row in plan["rows"])
    legend = [_COMPILED if compiled else _ARITHMETIC, _LEGEND]
    if plan["chips"] > 1 and not any(row["zero"] for row in plan["rows"]):
        legend.append(_WHOLE)
    if any(row["share"] < 0 for row in plan["rows"]):
        legend.append(_LESS)
    return legend


def bytes_text(number: float) -> str:
    """Return a number of bytes in three digits: ``1.63 GB`` is 1.63·10⁹ bytes."""
    return _in_units(number, {"TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3, "B": 1})


def _seconds(number: float) -> str:
    return _in_units(number, {"s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9})


def _in_units(number: float, units: Mapping[str, float]) -> str:
    """Three digits, in the largest unit that is not above the number."""
    unit = next((name for name, size in units.items() if number >= 0.9995 * size), [*units][-1])
    return f"{number / units[unit]:.3g} {unit}"
