"""What a table's columns are taken for: indices, dates, units, weights; and that labels come back as they were."""

from __future__ import annotations

import numpy as np
import pytest
from commands import as_json, refused, run, write_csv


@pytest.fixture(autouse=True)
def _without_compiling(monkeypatch):
    monkeypatch.setenv("BPX_KERNELS", "numpy")


def numbers(n=60, seed=0):
    return np.random.default_rng(seed).normal(size=n).round(3).tolist()


def trained(capsys, path, *more, target="y"):
    words = ["train", path, "--target", target, "--epochs", 1, "--quiet", "--out", path.parent / "m.npz"]
    return as_json(capsys, *words, *more)


def test_a_checkpoint_that_is_there_is_not_written_over_without_resume(tmp_path, capsys):
    data = write_csv(tmp_path / "t.csv", {"x": numbers(), "y": ["a", "b"] * 30})
    run_file = tmp_path / "run.ckpt"
    trained(capsys, data, "--checkpoint", run_file)
    before = run_file.read_bytes()
    words = ["train", data, "--target", "y", "--epochs", 2, "--out", tmp_path / "m.npz", "--checkpoint", run_file]
    assert f"{run_file} is there, perhaps of another run; give --resume to continue it, or another path" in refused(
        capsys, *words
    )
    assert run_file.read_bytes() == before
    assert run(*words, "--resume", "--quiet") == 0
    run_file.unlink()  # what is left of it is `.previous`, from which --resume would go on
    assert "run.ckpt.previous is there" in refused(capsys, *words)
