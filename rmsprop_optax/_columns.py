"""Text in columns."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a line for each row: the first ``left`` columns flush left, the others flush right.

    Example:
      >>> print(aligned([("dialect", "loss", "s/epoch"), ("keras", "0.5", "0.01"), ("tf1", "12", "-")]))
      dialect  loss  s/epoch
      keras     0.5     0.01
      tf1        12        -
      >>> print(aligned([("keras", "rho", "0.9"), ("pytorch", "alpha", "0.99")], left=2))
      keras    rho     0.9
      pytorch  alpha  0.99
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        start = map(str.ljust, row[:left], widths[:left])
        end = map(str.rjust, row[left:], widths[left:])
        return "  ".join([*start, *end]).rstrip()

    return "\n".join(map(line, rows))
