"""Mutated CSV and Parquet files for ``bpx predict``: exit code 0 or 2, one line of error, no partial output.

Run by hand: ``python tests/fuzz_tables.py 10000``. ``test_tables_messy.py`` runs a few.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CSV = 'x,y,k\n1,a,"c, d"\n2.5,b,NA\n-3e2,a,"e\nf"\n,b,größe\n4;5,a,\n'.encode() + b"7,b,True\r\n" * 3
ODD = (
    b'"',
    b",",
    b"\n",
    b"\r",
    b";",
    b"\0",
    b"\xff",
    b"\x1a",
    b"#",
    b"",
    b'""',
    b"\xef\xbb\xbf",
    b"0x1",
    b"1e999",
    b"=",
)


def parquet(folder: Path) -> bytes:
    """A small Parquet file of several types."""
    import pyarrow as pa
    import pyarrow.parquet

    table = pa.table({"x": [1.0, None, 3.0] * 5, "y": ["a", "b", None] * 5, "k": pa.array([1, 2, 3] * 5, pa.int8())})
    pyarrow.parquet.write_table(table, folder / "seed.parquet")
    return (folder / "seed.parquet").read_bytes()


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with a few pieces replaced, left out, doubled or cut off."""
    for _ in range(rng.integers(1, 5)):
        i, j = sorted(rng.integers(0, len(content) + 1, 2).tolist())
        kind = rng.integers(6)
        if kind == 0:
            content = content[:i] + bytes(rng.integers(0, 256, rng.integers(1, 4), dtype=np.uint8)) + content[i + 1 :]
        elif kind == 1:
            content = content[:i] + ODD[rng.integers(len(ODD))] + content[i:]
        elif kind == 2:
            content = content[:i] + content[min(j, i + 8) :]
        elif kind == 3:
            content = content[:j] + content[i:j] + content[j:]
        elif kind == 4 and len(content) > 8:
            content = content[: max(j, 4)]
        elif i < len(content):
            content = content[:i] + bytes([content[i] ^ (1 << rng.integers(8))]) + content[i + 1 :]
    return content


def fuzz(model: Path, folder: Path, rng: np.random.Generator, count: int, call: Callable[..., Any]) -> list[str]:
    """The files that end otherwise than in a table or in one line of error; `call` gives exit code, stdout, stderr."""
    seeds, bad = {"csv": CSV, "parquet": parquet(folder)}, []
    for i in range(count):
        ending = ("csv", "parquet")[i % 2]
        path, out = folder / f"mutated.{ending}", folder / f"out.{ending}"
        content = mutated(seeds[ending], rng)
        path.write_bytes(content)
        out.unlink(missing_ok=True)
        try:
            code, stdout, stderr = call("predict", model, path, "--keep", "k", "--out", out, "--quiet")
        except Exception as error:
            bad.append(f"{ending} {content!r}: {error!r}")
            continue
        whole = out.exists() if code == 0 else stdout == "" and stderr.count("\n") == 1 and not out.exists()
        if code not in (0, 2) or not whole:
            bad.append(f"{ending} {content!r}: code {code}, {stderr!r:.500}")
    return bad


def _main(count: int, seed: int) -> int:
    """Train a model, then mutate; prints what went wrong."""
    from commands import run

    def call(*argv: Any) -> tuple[int, str, str]:
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            return run(*argv), out.getvalue(), err.getvalue()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "t.csv").write_text("x,y\n" + "1,a\n2,b\n" * 9)
        call("train", folder / "t.csv", "--target", "y", "--epochs", 1, "--out", folder / "m.npz")
        bad = fuzz(folder / "m.npz", folder, np.random.default_rng(seed), count, call)
    print(*bad, f"{count} files, {len(bad)} bad", sep="\n")
    return 1 if bad else 0


if __name__ == "__main__":
    numbers = [*map(int, sys.argv[1:]), 10_000, 0]
    sys.exit(_main(numbers[0], numbers[1] if len(sys.argv) > 2 else 0))
