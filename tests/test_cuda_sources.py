"""Every CUDA source compiles for every GPU that bpx runs on; NVRTC does that without one."""

from __future__ import annotations

import re
from importlib import resources

import pytest
from nvrtc import compiled, need_nvrtc
from test_architecture import fresh_process

from bpx.formulas import linear
from bpx.kernels import cuda, numpy_in_place
from bpx.kernels.cuda import sources

# Volta, Turing, Ampere (two), Ada, Hopper.
GPUS = (70, 75, 80, 86, 89, 90)
# NVRTC 12.9 says so of sm_70; its successor does not know it.
OLD = re.compile(r"nvrtc: warning: Architectures prior to .* are deprecated.*\n?")


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("storage", sources.STORAGES)
@pytest.mark.parametrize("file", sources.FILES)
def test_a_source_compiles_without_a_warning(file, storage, gpu):
    need_nvrtc()
    done, said, ptx = compiled(sources.source(file), (*sources.options(storage), f"-arch=compute_{gpu}"))
    assert done, said
    assert not OLD.sub("", said).strip()
    assert set(re.findall(r"\.visible \.entry (\w+)\(", ptx)) == set(sources.kernels(file))
    assert not re.search(r"\batom\.\S*\.f(16|32|64)|\bred\.\S*\.f(16|32|64)", ptx), "floats are added in no fixed order"
    assert not re.search(r"\.approx|\.ftz", _without_own_rounding(ptx)), "arithmetic was loosened"


@pytest.mark.parametrize("storage", sources.STORAGES)
@pytest.mark.parametrize("file", sources.FILES)
def test_a_source_compiles_with_the_options_that_cupy_adds(file, storage):
    need_nvrtc()
    more = ("-ftz=true", "-arch=compute_90", "--device-as-default-execution-space")
    done, said, _ = compiled(sources.source(file), (*sources.options(storage), *more))
    assert done, said
    assert not said.strip()


@pytest.mark.parametrize("storage", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(("file", "kernel"), [("activations.cu", "tanh_forward"), ("dropout.cu", "dropout_mask")])
def test_numbers_put_together_are_written_at_once(file, kernel, storage):
    need_nvrtc()
    done, said, ptx = compiled(sources.source(file), (*sources.options(storage), "-arch=compute_90"))
    assert done, said
    body = re.search(rf"\.entry {kernel}\(.*?\n}}", ptx, re.DOTALL)[0]
    half = kernel == "dropout_mask" and storage != "float32"  # four numbers are 8 bytes
    assert f"st.global.wb.{'v2' if half else 'v4'}.u32" in body


# Kernels that are as fast as memory is: how many vectors each reads in pieces of 16 bytes, and writes so.
PACKED = {
    "gradient_descent": (2, 1), "momentum": (3, 2), "rmsprop": (3, 2), "adagrad": (3, 2), "adam": (4, 3),
    "clip_scale": (1, 1), "unscale": (1, 1), "narrow": (1, 1),
}  # fmt: skip


@pytest.mark.parametrize("storage", ["float32", "float64"])
@pytest.mark.parametrize("kernel", PACKED)
def test_an_update_reads_all_its_vectors_in_packs_before_it_writes_any(kernel, storage):
    need_nvrtc()
    file = next(file for file in sources.FILES if kernel in sources.kernels(file))
    done, said, ptx = compiled(sources.source(file), (*sources.options(storage), "-arch=compute_90"))
    assert done, said
    body = re.search(rf"\.entry {kernel}\(.*?\n}}", ptx, re.DOTALL)[0]
    wide = re.findall(r"\b(ld|st)\.global\.\S*(?:v4\.[bfu]32|v2\.[bfu]64)", body)
    reads, writes = PACKED[kernel]
    assert wide == ["ld"] * reads + ["st"] * writes


@pytest.mark.parametrize("storage", ["float32", "float64"])
def test_adam_computes_its_powers_by_products(storage):
    need_nvrtc()
    text = sources.source("updates.cu")
    with_pow = text.replace("NOW(step), &power_1", "::pow(NOW(step), 2.0), &power_1")
    assert with_pow != text
    calls = []
    for one in (text, with_pow):
        done, said, ptx = compiled(one, (*sources.options(storage), "-arch=compute_90"))
        assert done, said
        calls.append("accurate_pow" in ptx)
    assert calls == [False, True]


@pytest.mark.parametrize("storage", sources.STORAGES)
@pytest.mark.parametrize("file", sources.FILES)
def test_a_kernel_keeps_its_numbers_in_at_most_64_registers(file, storage):
    """So that four blocks share a multiprocessor of Hopper's, and none keeps numbers in memory."""
    need_nvrtc()
    done, said, _ = compiled(sources.source(file), (*sources.options(storage), "-arch=sm_90", "--ptxas-options=-v"))
    assert done, said
    used = dict(re.findall(r"Compiling entry function '(\w+)'.*?Used (\d+) registers", said, re.DOTALL))
    assert set(used) == set(sources.kernels(file))
    assert max(map(int, used.values())) <= 64, used
    assert set(re.findall(r"(\d+) bytes (?:stack frame|spill)", said)) == {"0"}


def _without_own_rounding(ptx: str) -> str:
    """The PTX without what NVIDIA's own exact functions are made of."""
    return re.sub(r".*\b(ex2\.approx|rcp\.approx|lg2\.approx|rsqrt\.approx).*", "", ptx)


@pytest.mark.parametrize(
    ("before", "after"),
    [("1 - a * a", "1 - a * "), ("TANH(z)", "TAN_H(z)"), ("S *z, S *a", "S *z, T *a")],
)
def test_a_mistake_in_a_source_is_found(before, after):
    need_nvrtc()
    text = sources.source("activations.cu")
    assert before in text
    done, said, _ = compiled(text.replace(before, after), (*sources.options("float32"), "-arch=compute_70"))
    assert not done
    assert "error" in said


def test_the_compiler_is_there_where_it_has_to_be(monkeypatch):
    monkeypatch.setattr("nvrtc._library", lambda: None)
    monkeypatch.delenv("BPX_REQUIRE_NVRTC", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"pip install -e '\.\[nvrtc\]'"):
        need_nvrtc()
    monkeypatch.setenv("BPX_REQUIRE_NVRTC", "1")
    with pytest.raises(pytest.fail.Exception, match=r"pip install -e '\.\[nvrtc\]'"):
        need_nvrtc()


def test_every_source_in_the_folder_is_listed():
    folder = resources.files(cuda)
    assert sorted(sources.FILES) == sorted(path.name for path in folder.iterdir() if path.name.endswith(".cu"))
    names = [name for file in sources.FILES for name in sources.kernels(file)]
    assert len(names) == len(set(names))
    assert len(names) > 50


def test_no_source_uses_what_the_imitation_of_cuda_could_not_check():
    for file in sources.FILES:
        text = sources.source(file)
        assert not re.search(r"\basm\b|fast_math|__expf|__logf|__fdividef|atomic\w+\(", text), file
        assert not re.search(r"float\s*\*\s*\w+,\s*float", text), file
    assert not any("fast" in option for storage in sources.STORAGES for option in sources.options(storage))


def test_sources_and_kernels_are_there_without_cupy():
    script = "import sys; sys.modules['cupy'] = None; from bpx.kernels import cuda; print(len(cuda.KERNELS))"
    assert int(fresh_process(script)) >= 22


def test_it_has_kernels_for_all_that_numpys_have():
    assert set(cuda.KERNELS) >= set(numpy_in_place.KERNELS) - {linear.fill_rows}  # of host arrays
