"""Every code block of the README and of its Chinese translation runs, and prints what its comments say.

Python blocks of one section (``##``) run in one process, one after the other, in a new folder. Shell commands run
beside a copy of the examples; what installs or tests is checked, not run: `.ci/run` runs the first block word for word.
"""

from __future__ import annotations

import importlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tokenize
import tomllib
from pathlib import Path

import pytest
import yaml

import bpx

ROOT = Path(__file__).parents[1]
README, CHINESE = ROOT / "README.md", ROOT / "examples" / "README.zh-CN.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
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


def sections(path: Path) -> dict[str, str]:
    """Text by heading; a ``#`` line within a block is no heading."""
    parts = re.split(r"^## (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(["", *parts[1::2]], parts[::2], strict=True))


def blocks(text: str, *languages: str) -> list[str]:
    """The code of the blocks in those languages."""
    return [code for language, code in FENCE.findall(text) if language in languages]


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
    if "import torch" in code and importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed"
    return None


SECTIONS = sections(README)
WITH_PYTHON = [name for name, text in SECTIONS.items() if blocks(text, "python")]
FIRST, *SHELL = [block.splitlines() for block in blocks(README.read_text(encoding="utf-8"), "", "sh")]
COMMANDS = [line for lines in SHELL for line in lines]


@pytest.mark.parametrize("section", WITH_PYTHON)
def test_python_blocks_of_a_section_print_what_their_comments_say(section: str, tmp_path: Path) -> None:
    codes = blocks(SECTIONS[section], "python")
    if reason := needs("\n".join(codes)):
        if os.environ.get("BPX_REQUIRE_TORCH") == "1":
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
        assert len(lines) == len(wanted), f"printed {lines}, the README says {wanted}"
        for line, shown in zip(lines, wanted, strict=True):
            assert same(line, shown), f"printed {line!r}, the README says {shown!r}"


def test_a_section_with_python_is_found_for_each_way_in() -> None:
    assert WITH_PYTHON == ["Five-minute tour", "From scikit-learn", "From PyTorch", "From the articles"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples, where the README's commands run one after the other."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "examples").mkdir()
    for script in (ROOT / "examples").glob("*.py"):
        shutil.copy(script, folder / "examples")
    return folder


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


@pytest.mark.parametrize("command", COMMANDS)
def test_shell_command_runs(command: str, clone: Path) -> None:
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
        assert done.returncode == 1, done.stderr
        assert "cupy" in (done.stdout + done.stderr).lower()
    else:
        assert done.returncode == 0, done.stderr
    if "BPX_BACKEND" in given and not gpu():
        assert ("BackendUnavailableError" if strict else "BackendFallbackWarning") in done.stderr
    for option in ("--out", "--html"):
        if option in words:
            assert (clone / words[words.index(option) + 1]).stat().st_size > 0


def extras(command: str) -> list[str]:
    """The extras that a pip command names."""
    return [extra for names in re.findall(r"\[([a-z0-9,]+)\]", command) for extra in names.split(",")]


def test_first_block_is_the_two_commands_that_ci_runs() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert len(FIRST) == 2
    for line, then in zip(FIRST, ("python examples/digits.py", "pytest"), strict=True):
        install, command = line.split(" && ")
        assert re.fullmatch(r"pip install -e '\.\[[a-z]+\]'", install)
        assert set(extras(install)) <= set(known)
        assert command == then


def test_every_extra_that_is_named_exists() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    text = README.read_text(encoding="utf-8")
    named = extras(" ".join(re.findall(r"(?:bpx-nn|\.)\[[a-z0-9,]+\]", text)))
    named += [name for names in re.findall(r"\(extra ([^)]+)\)", text) for name in re.findall(r"`([a-z0-9]+)`", names)]
    assert len(named) > 10
    assert set(named) <= set(known)


def test_workflow_is_complete_and_runs_the_readmes_own_commands() -> None:
    (text,) = blocks(README.read_text(encoding="utf-8"), "yaml")
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
    english, chinese = (FENCE.findall(path.read_text(encoding="utf-8")) for path in (README, CHINESE))
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
            assert re.findall(r"\d+(?:\.\d+)?(?:e-\d+)?", mine) == re.findall(r"\d+(?:\.\d+)?(?:e-\d+)?", other), mine
        inline = [sorted(set(re.findall(r"`[^`\n]+`", text))) for text in (ours, theirs)]
        assert inline[0] == inline[1], name
        pictures = [re.findall(r"!\[[^\]]*\]\([^)]*?([^)/]+)\)", text) for text in (ours, theirs)]
        assert pictures[0] == pictures[1]


def anchors(path: Path) -> set[str]:
    """The links' targets that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", [README, CHINESE], ids=["english", "chinese"])
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
    assert len(links) > 20
    for link in links:
        file, _, anchor = link.partition("#")
        assert link.startswith("http") or (path.parent / file).exists(), link
        assert not anchor or anchor in anchors(path), link


def test_pictures_are_few_and_small() -> None:
    pictures = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", README.read_text(encoding="utf-8"))
    assert 3 <= len(pictures) <= 5
    for words, path in pictures:
        assert len(words) > 20  # what it shows, for those who do not see it
        assert (ROOT / path).stat().st_size < 100_000


def test_readme_is_short_and_lists_every_example() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for script in (ROOT / "examples").glob("*.py"):
        assert f"| [{script.name}](examples/{script.name}) |" in SECTIONS["Examples"]


def test_names_that_the_readme_mentions_exist() -> None:
    text = FENCE.sub("", README.read_text(encoding="utf-8"))
    code = " ".join(re.findall(r"`([^`\n]+)`", text))
    names = set(re.findall(r"\bbpx((?:\.[A-Za-z_]\w*)+)", code))
    assert len(names) > 25
    for name in names - {".training"}:  # a logger's name
        thing = bpx
        for part in name.split(".")[1:]:
            thing = getattr(thing, part)
