"""What a newcomer meets: mistakes that once were taken for something else, and what is said of them."""

from __future__ import annotations

import pytest
from commands import refused, run, write_csv


@pytest.fixture(autouse=True)
def _without_compiling(monkeypatch):
    monkeypatch.setenv("BPX_KERNELS", "numpy")


def test_a_page_is_not_written_over_a_file_of_another_kind(tmp_path, capsys):
    (tmp_path / "wine.csv").write_text("a,b\n1,2\n")
    message = refused(capsys, "trace", "--html", tmp_path / "wine.csv")
    assert "--html: expected a name that ends in .html or .htm" in message
    assert (tmp_path / "wine.csv").read_text() == "a,b\n1,2\n"
    assert run("trace", "--html", tmp_path / "STEP.HTM", "--quiet") == 0


@pytest.mark.parametrize("task", [[], ["--task", "regress"]])
@pytest.mark.parametrize("spelled", ["1,{}", "{},000", "1,{:03d},000.50", "-{},5"])
def test_a_target_of_numbers_with_commas_is_refused_and_not_classified(spelled, task, tmp_path, capsys):
    y = [spelled.format(i % 7) for i in range(1, 61)] + ["3"]
    data = write_csv(tmp_path / "t.csv", {"x": range(61), "y": y})
    words = ["train", data, "--target", "y", "--epochs", 1, "--out", tmp_path / "m.npz"]
    assert f"target 'y' holds numbers with commas, such as {y[0]!r}; save" in refused(capsys, *words, *task)
    assert run(*words, "--task", "classify", "--quiet") == 0


def test_numbers_with_commas_among_whole_ones_are_no_categories(tmp_path, capsys):
    x = ["1,5" if i == 30 else str(i) for i in range(60)]
    data = write_csv(tmp_path / "t.csv", {"x": x, "y": [0, 1] * 30})
    message = refused(capsys, "train", data, "--target", "y", "--out", tmp_path / "m.npz")
    assert "column 'x' holds numbers with commas, such as '1,5'" in message
