"""Show the rows of a run while it trains: a bar on a terminal, plain lines in a pipe or a file."""

import shutil
import sys
from collections.abc import Generator, Iterable

from tqdm import tqdm

_MOST_LINES = 20
_BAR = "{desc}  epoch {n_fmt}/{total_fmt} |{bar}| {elapsed}<{remaining}{postfix}"


def show(label: str, rows: Iterable[dict[str, float]], epochs: int) -> Generator[dict[str, float], None, None]:
    """Show each row of a run on standard output and yield it unchanged."""
    return (_bar if sys.stdout.isatty() else _lines)(label, rows, epochs)


def _bar(label: str, rows: Iterable[dict[str, float]], epochs: int) -> Generator[dict[str, float], None, None]:
    # If a terminal does not report its size, tqdm takes it for 0 and draws nothing.
    columns, lines = shutil.get_terminal_size()
    with tqdm(total=epochs, desc=label, bar_format=_BAR, file=sys.stdout, ncols=columns, nrows=lines) as bar:
        for row in rows:
            bar.set_postfix_str(f"test loss {row['test_loss']:.3g}, {row['test_accuracy']:.1%} right", refresh=False)
            bar.update(min(row["epoch"], 1))
            yield row


def _lines(label: str, rows: Iterable[dict[str, float]], epochs: int) -> Generator[dict[str, float], None, None]:
    stride = -(-epochs // _MOST_LINES)
    for row in rows:
        if row["epoch"] % stride == 0 or row["epoch"] == epochs:
            print(
                f"{label}  epoch {row['epoch']:{len(str(epochs))}}/{epochs}  train loss {row['train_loss']:<9.4g}  "
                f"test loss {row['test_loss']:<9.4g}  test accuracy {row['test_accuracy']:6.1%}",
                flush=True,
            )
        yield row
