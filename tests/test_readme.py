"""Every code block of the README and of the texts beside the code runs, and prints what its comments say.

A Python block that imports bpx starts a new process in a new folder; one that does not goes on from the block above.
Shell commands run beside a copy of the examples; what installs or tests is checked, not run: `.ci/run` runs the
README's first block word for word. The Chinese README has the same blocks.
"""

from __future__ import annotations

import importlib.util
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tokenize
import tomllib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import bpx

ROOT = Path(__file__).resolve().parents[1]
README, CHINESE, CI = ROOT / "README.md", ROOT / "examples" / "README.zh-CN.md", ROOT / ".ci" / "README.md"
# Their blocks run here.
TEXTS = [README, CI] + [
    ROOT / name
    for name in ("bpx/README.md", "bpx/files/README.md", "examples/README.md", "examples/recipes.md", "tests/README.md")
]
# Their blocks are hours of measuring, tools of the tests, or the README's.
PROSE = [CHINESE] + [
    ROOT / name for name in ("benchmarks/README.md", "tests/cuda_on_cpu/README.md", "bpx/animation/README.md")
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
IMPORTS = re.compile(r"^(?:import|from) bpx\b", re.MULTILINE)
BETWEEN = "\x1e"
RUN_IN_TURN = f"""
import sys
space = {{"__name__": "__main__"}}
for number, code in enumerate(sys.stdin.read().split("{BETWEEN}")):
    exec(compile(code, f"block {{number}}", "exec"), space)
    print("{BETWEEN}", end="")
"""
DECIMAL = re.compile(r"\d+\.\d+")
# Trainings end elsewhere on another BLAS, so scores have two decimals; everything else is compared exactly.
TOLERANCE = 0.02


def located(path: Path) -> Path:
    """Where a file of the repository is: those of the package may be installed elsewhere."""
    inside = path.is_relative_to(ROOT / "bpx") and not (ROOT / "bpx").exists()
    return Path(bpx.__file__).parent / path.relative_to(ROOT / "bpx") if inside else path


def read(path: Path) -> str:
    """The text of a file of the repository."""
    return located(path).read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    """A page's path in the repository."""
    return path.relative_to(ROOT).as_posix()


def sections(path: Path) -> dict[str, str]:
    """Text by heading; a ``#`` line within a block is no heading."""
    parts = re.split(r"^## (.+)$", read(path), flags=re.MULTILINE)
    return dict(zip(["", *parts[1::2]], parts[::2], strict=True))


def blocks(text: str, *languages: str) -> list[str]:
    """The code of the blocks in those languages."""
    return [code for language, code in FENCE.findall(text) if language in languages]


def chains(path: Path) -> list[list[str]]:
    """The Python blocks that go on from each other."""
    found: list[list[str]] = []
    for code in blocks(read(path), "python"):
        if IMPORTS.search(code):
            found.append([])
        assert found, f"{name_of(path)}: the first block does not import bpx"
        found[-1].append(code)
    return found


def output(code: str) -> list[str]:
    """What a block's last comment lines say that it prints."""
    lines = code.splitlines()
    first = len(lines)
    while first > 0 and lines[first - 1].startswith("# "):
        first -= 1
    return [line.removeprefix("# ") for line in lines[first:]]


def same(printed: str, wanted: str) -> bool:
    """Equal but for decimals like 0.93, which may differ a little."""
    if DECIMAL.sub("0.0", printed) != DECIMAL.sub("0.0", wanted):
        return False
    pairs = zip(DECIMAL.findall(printed), DECIMAL.findall(wanted), strict=True)
    return all(a == b or (len(b) < 5 and abs(float(a) - float(b)) <= TOLERANCE) for a, b in pairs)


def needs(code: str) -> str | None:
    """Why the code cannot run here."""
    named = {"torch": "PyTorch", "pandas": "pandas", "sklearn": "scikit-learn"}
    named |= {"onnx": "ONNX"} if "to_onnx" in code else {}
    for package, words in named.items():
        wanted = package == "onnx" or re.search(rf"^(?:import|from) {package}\b", code, re.MULTILINE)
        if wanted and importlib.util.find_spec(package) is None:
            return f"{words} is not installed"
    return None


CHAINS = {f"{name_of(path)}-{i}": codes for path in TEXTS for i, codes in enumerate(chains(path), 1)}
FIRST, *_ = [block.splitlines() for block in blocks(read(README), "")]
SHELL = {
    f"{name_of(path)}-{i}": block.splitlines() for path in TEXTS for i, block in enumerate(blocks(read(path), "sh"), 1)
}
COMMANDS = [line for lines in SHELL.values() for line in lines]
NOT_RUN = [line for path in TEXTS for block in blocks(read(path), "") for line in block.splitlines()]
ONE_LINERS = re.findall(r"^\| \[.*\| `([^`]+)` \|$", sections(README)["How do I ...?"], re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("chain", CHAINS)
def test_python_blocks_print_what_their_comments_say(chain: str, tmp_path: Path) -> None:
    codes = CHAINS[chain]
    if reason := needs("\n".join(codes)):
        if "PyTorch" in reason and os.environ.get("BPX_REQUIRE_TORCH") == "1":
            pytest.fail(f"BPX_REQUIRE_TORCH=1, but {reason}")
        pytest.skip(reason)
    env = os.environ | {"BPX_BACKEND": "numpy", "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        # What another library deprecates is not the README's fault.
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", RUN_IN_TURN],
        input=BETWEEN.join(codes), capture_output=True, text=True,
        encoding="utf-8", check=False, cwd=tmp_path, env=env | {"PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    printed = [part.splitlines() for part in done.stdout.split(BETWEEN)[:-1]]
    for code, lines in zip(codes, printed, strict=True):
        wanted = output(code)
        assert len(lines) == len(wanted), f"printed {lines}, the text says {wanted}"
        for line, shown in zip(lines, wanted, strict=True):
            assert same(line, shown), f"printed {line!r}, the text says {shown!r}"


def test_python_is_found_in_each_text_that_shows_some() -> None:
    counts = {name_of(path): len(blocks(read(path), "python")) for path in TEXTS}
    assert {name for name, count in counts.items() if count == 0} == {".ci/README.md", "bpx/README.md"}
    assert counts["examples/recipes.md"] == len(sections(ROOT / "examples" / "recipes.md"))
    assert counts["README.md"] >= 3


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    """What the one-line answers name: inputs, class numbers, targets, a network and a pipeline."""
    pandas = pytest.importorskip("pandas")
    from sklearn.datasets import load_digits
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y = load_digits(return_X_y=True)
    X, y = X[:600] / 16, y[:600]
    estimator = bpx.MLPClassifier((8,), early_stopping=True, random_state=0, max_iter=500)
    return {
        "bpx": bpx, "np": np, "GridSearchCV": GridSearchCV, "X": X, "y": y, "Y": X[:, :2], "onehot": np.eye(10)[y],
        "tags": np.stack([y > 4, y % 2, y == 8], axis=1).astype(int), "w": np.where(y == 8, 3.0, 1.0),
        "names": np.array(list("abcdefghij"))[y], "frame": pandas.DataFrame(X), "frame_target": pandas.Series(y),
        "model": make_pipeline(StandardScaler(), estimator),
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("line", ONE_LINERS, ids=range(1, len(ONE_LINERS) + 1))
def test_one_line_answer_runs_as_it_stands(
    line: str, data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BPX_BACKEND", "numpy")
    np.save("rows.npy", data["X"])
    if "to_onnx" in line:
        pytest.importorskip("onnx")
    space = data | {"net": bpx.MLP([64, 16, 10])}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("default", bpx.BackendFallbackWarning)
        exec(compile(line, "README.md", "eval"), space)
    made = {"save": "m.npz", "to_onnx": "m.onnx", "checkpoint": "run.ckpt", "CSVLogger": "log.csv"}
    for word, file in made.items():
        assert word not in line or Path(file).stat().st_size > 0


def test_every_question_of_a_newcomer_has_a_line() -> None:
    assert len(ONE_LINERS) == len(set(ONE_LINERS)) > 15
    asked = sections(README)["How do I ...?"].lower()
    for words in (
        "learning rate", "stop early", "best epoch", "regression, several targets", "multi-label", "weight rows",
        "class names", "pandas", "pipeline", "probabilities", "loss of my own", "onnx", "gpu", "larger than memory",
    ):  # fmt: skip
        assert words in asked, words


def parse(command: str) -> tuple[dict[str, str], list[str]]:
    """Assignments before a command, and its words."""
    words = shlex.split(command, comments=True)
    given = {}
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        name, _, given[name] = words.pop(0).partition("=")
    return given, words


def gpu() -> bool:
    """Whether CuPy works here."""
    return next(status.available for status in bpx.backends() if status.name == "cupy")


def run_command(command: str, clone: Path) -> None:
    """Run a command as a user of the clone does; what needs a GPU has to say so where there is none."""
    given, words = parse(command)
    assert words[0] in ("bpx", "python"), f"{command!r} is not known to this test"
    program = [sys.executable, "-m", "bpx"] if words[0] == "bpx" else [sys.executable]
    env = {name: value for name, value in os.environ.items() if not name.startswith("BPX_BACKEND")}
    done = subprocess.run(
        [*program, *words[1:]], capture_output=True, text=True, encoding="utf-8", check=False, cwd=clone,
        env=env | {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)} | given,
    )  # fmt: skip
    strict = given.get("BPX_BACKEND_STRICT") == "1" or "--backend" in words
    if strict and not gpu():
        assert done.returncode == 1, f"{command}: {done.stderr}"
        assert "cupy" in (done.stdout + done.stderr).lower()
    else:
        assert done.returncode == 0, f"{command}: {done.stderr}"
    if "BPX_BACKEND" in given and not gpu():
        assert ("BackendUnavailableError" if strict else "BackendFallbackWarning") in done.stderr
    for option in ("--out", "--html"):
        if option in words:
            assert (clone / words[words.index(option) + 1]).stat().st_size > 0


@pytest.mark.slow
@pytest.mark.parametrize("block", SHELL)
def test_shell_commands_run_one_after_the_other(block: str, tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    for script in (ROOT / "examples").glob("*.py"):
        shutil.copy(script, tmp_path / "examples")
    for command in SHELL[block]:
        run_command(command, tmp_path)


def known_extras() -> set[str]:
    """The extras of pyproject.toml."""
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
    return set(project["optional-dependencies"])


def extras(text: str) -> list[str]:
    """The extras that pip commands name."""
    named = re.findall(r"(?:bpx-nn|\.|/clone)\[([a-z0-9,]+)\]", text)
    return [extra for names in named for extra in names.split(",")]


def test_first_block_is_the_two_commands_that_ci_runs() -> None:
    assert len(FIRST) == 2
    assert FENCE.search(read(README)).group(2).splitlines() == FIRST  # type: ignore[union-attr]
    for line, then in zip(FIRST, ("python examples/digits.py", "pytest"), strict=True):
        install, command = line.split(" && ")
        assert re.fullmatch(r"pip install -e '\.\[[a-z]+\]'", install)
        assert set(extras(install)) <= known_extras()
        assert command == then


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_every_extra_that_is_named_exists(path: Path) -> None:
    text = read(path)
    named = extras(text)
    named += [name for names in re.findall(r"\(extra ([^)]+)\)", text) for name in re.findall(r"`([a-z0-9]+)`", names)]
    assert named or path.parent.name in {"examples", "files"}
    assert set(named) <= known_extras()


@pytest.mark.parametrize("path", [*TEXTS, *PROSE], ids=name_of)
def test_nothing_is_installed_from_an_index_that_does_not_have_it(path: Path) -> None:
    assert "pip install 'bpx" not in read(path)
    assert "pip install bpx" not in read(path)


def test_the_heart_of_the_tests_is_one_command() -> None:
    (command,) = [line for line in NOT_RUN if line.startswith("pytest @")]
    assert command == "pytest @tests/heart.txt"  # tests/test_suite.py looks at what it names
    assert (ROOT / "tests" / "heart.txt").is_file()


def test_workflow_is_complete_and_runs_the_texts_own_commands() -> None:
    (text,) = blocks(read(CI), "yaml")
    workflow = yaml.safe_load(text)
    assert workflow[True] == ["push", "pull_request"]  # YAML 1.1 reads the key "on" as a truth value
    commands = []
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        assert [step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step] == [
            "actions/checkout", "actions/setup-python",
        ]  # fmt: skip
        assert all(len({"uses", "run"} & set(step)) == 1 for step in job["steps"])
        commands += [step["run"] for step in job["steps"] if "run" in step]
    own = {*FIRST, *COMMANDS}
    for command in commands:
        _, words = parse(command)
        assert command in own or words[0] == "pytest" or words[:3] == ["pip", "install", "-e"], command
    assert {"cpu", "gpu"} == set(workflow["jobs"])
    assert FIRST[1] in commands
    assert sum("BPX_BACKEND" in command for command in commands) == 2


def bare(language: str, code: str) -> list[str]:
    """A block's lines of code, without comments; what it prints stays."""
    if language != "python":
        lines = [re.sub(r"(^|\s)#.*", "", line) for line in code.splitlines()]
        return [line.rstrip() for line in lines if line.strip()]
    lines = code.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return [line.rstrip() for line in lines if line.strip()] + output(code)


def test_chinese_readme_has_the_same_blocks_but_for_comments() -> None:
    english, chinese = (FENCE.findall(read(path)) for path in (README, CHINESE))
    assert [language for language, _ in english] == [language for language, _ in chinese]
    for (language, ours), (_, theirs) in zip(english, chinese, strict=True):
        assert bare(language, ours) == bare(language, theirs)


def test_chinese_readme_has_the_same_figures_tables_and_sections() -> None:
    english, chinese = (sections(path) for path in (README, CHINESE))
    assert len(english) == len(chinese)
    for (name, ours), theirs in zip(english.items(), chinese.values(), strict=True):
        ours, theirs = FENCE.sub("", ours), FENCE.sub("", theirs)
        rows = [[line for line in text.splitlines() if line.startswith("|")] for text in (ours, theirs)]
        assert [line.count("|") for line in rows[0]] == [line.count("|") for line in rows[1]], name
        for mine, other in zip(*rows, strict=True):
            assert re.findall(r"`[^`\n]+`", mine) == re.findall(r"`[^`\n]+`", other), mine
            assert re.findall(r"\d+(?:\.\d+)?(?:e-\d+)?", mine) == re.findall(r"\d+(?:\.\d+)?(?:e-\d+)?", other), mine
        inline = [sorted(set(re.findall(r"`[^`\n]+`", text))) for text in (ours, theirs)]
        assert inline[0] == inline[1], name
        mine = {target(README, link) for link in re.findall(r"\]\(([^)]+)\)", ours)} - {CHINESE}
        assert mine == {target(CHINESE, link) for link in re.findall(r"\]\(([^)]+)\)", theirs)} - {README}, name


def target(page: Path, link: str) -> Path | None:
    """The file that a link of a page leads to; None within the page."""
    file = link.partition("#")[0]
    return (page.parent / file).resolve() if file else None


def anchors(path: Path) -> set[str]:
    """The links' targets that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", read(path)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", [*TEXTS, *PROSE], ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", read(path)))
    for link in links:
        if link.startswith("http"):
            continue
        leads_to, anchor = target(path, link) or path, link.partition("#")[2]
        assert located(leads_to).exists(), link
        assert not anchor or anchor in anchors(leads_to), link


def test_every_text_is_known_here_and_can_be_reached_from_the_readme() -> None:
    there = {path for folder in ("tests", "examples", "benchmarks", ".ci") for path in (ROOT / folder).rglob("*.md")}
    package = located(ROOT / "bpx")
    there |= {README, *(ROOT / "bpx" / path.relative_to(package) for path in package.rglob("*.md"))}
    assert there == {*TEXTS, *PROSE}
    reached: set[Path] = set()
    waiting = [README]
    while waiting:
        path = waiting.pop()
        if path not in reached and path.suffix == ".md":
            reached.add(path)
            links = re.findall(r"\]\(([^)\s#]+)[^)]*\)", read(path))
            waiting += [target(path, link) for link in links if not link.startswith("http")]
    assert reached == there


@pytest.mark.parametrize("path", [*TEXTS, CHINESE], ids=name_of)
def test_files_and_variables_that_a_text_names_exist(path: Path) -> None:
    code = " ".join(re.findall(r"`([^`\n]+)`", FENCE.sub("", read(path))))
    for file in re.findall(r"(?<![\w/.])((?:tests|benchmarks|examples|bpx|\.ci)/[\w./-]*\w)", code):
        assert located(ROOT / file).exists() or file == "examples/passengers.csv", file
    sources = [*located(ROOT / "bpx").rglob("*.py"), *(ROOT / "tests").glob("*.py")]
    used = set(re.findall(r"BPX_[A-Z_]+", " ".join(source.read_text(encoding="utf-8") for source in sources)))
    assert set(re.findall(r"BPX_[A-Z_]+", read(path))) <= used


def test_pictures_are_few_small_and_described() -> None:
    pictures = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", read(README))
    assert 1 <= len(pictures) <= 4
    for words, path in pictures:
        assert len(words) > 20  # what it shows, for those who do not see it
        assert (ROOT / path).stat().st_size < 100_000


def test_readme_is_short_and_every_example_is_listed_beside_the_examples() -> None:
    assert len(read(README).splitlines()) <= 170
    listed = sections(ROOT / "examples" / "README.md")["The scripts"]
    for script in (ROOT / "examples").glob("*.py"):
        assert f"| [{script.name}]({script.name}) |" in listed


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_names_of_bpx_that_a_text_mentions_exist(path: Path) -> None:
    code = " ".join(re.findall(r"`([^`\n]+)`", FENCE.sub("", read(path))))
    # Neither a logger's name nor the endings of files.
    for name in set(re.findall(r"(?<![\w/.])bpx((?:\.[A-Za-z_]\w*)+)", code)) - {".training"}:
        thing = bpx
        for part in name.split(".")[1:]:
            thing = getattr(thing, part)
