"""What is missing is named by a command that works for the installation at hand."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bpx
from bpx.errors import how_to_install

PACKAGE = Path(bpx.__file__).parent
PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def named_in_messages():
    """The arguments of each call of how_to_install in the package."""
    calls = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(getattr(node, "func", None), "id", None) or getattr(getattr(node, "func", None), "attr", "")
            if isinstance(node, ast.Call) and name == "how_to_install":
                calls.add(tuple(ast.literal_eval(argument) for argument in node.args))
    return sorted(calls)


CALLS = named_in_messages()


def normal(requirement):
    """The name alone, as indexes compare names."""
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


def test_messages_name_the_packages_of_many_extras():
    assert len(CALLS) >= 10


@pytest.mark.parametrize(("extra", "package"), CALLS)
def test_what_a_message_names_is_an_extra_and_a_package_of_it(extra, package):
    assert normal(package) in map(normal, EXTRAS[extra])


@pytest.mark.parametrize(("extra", "package"), CALLS)
def test_the_command_is_one_that_this_installation_can_run(extra, package):
    pip, install, *rest = shlex.split(how_to_install(extra, package))
    assert (pip, install) == ("pip", "install")
    if rest[0] == "-e":
        folder, _, named = rest[1].rpartition("[")
        assert len(rest) == 2
        assert named == f"{extra}]"
        assert Path(folder, "bpx", "__init__.py").samefile(bpx.__file__)
        assert Path(folder, "pyproject.toml").is_file()
    else:
        assert sorted(map(normal, rest)) == sorted(map(normal, EXTRAS[extra]))


def elsewhere(folder, *metadata):
    """A folder from which bpx.errors is imported, with or without the metadata of an installation."""
    (folder / "bpx").mkdir(parents=True)
    (folder / "bpx" / "__init__.py").touch()
    shutil.copytree(PACKAGE / "errors", folder / "bpx" / "errors")
    if metadata:
        (folder / "bpx_nn-0.1.0.dist-info").mkdir()
        lines = ["Metadata-Version: 2.4", "Name: bpx-nn", "Version: 0.1.0", *metadata]
        (folder / "bpx_nn-0.1.0.dist-info" / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def said(folder, extra, package):
    """What a process that imports bpx from there says; no other package can be seen (-S)."""
    script = f"import sys; sys.path.insert(0, {str(folder)!r}); from bpx.errors import how_to_install as how;"
    script += f"print(how({extra!r}, {package!r}))"
    done = subprocess.run([sys.executable, "-S", "-I", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


METADATA = (
    "Requires-Dist: numpy>=2.1",
    "Requires-Dist: safetensors>=0.4; extra == 'io'",
    'Requires-Dist: cuda-bindings<13,>=12.9; extra == "cuda12"',
    "Requires-Dist: cupy-cuda12x[ctk]>=14; (python_version < '3.20') and extra == 'cuda12'",
    "Requires-Dist: iosomething; extra == 'iot'",
)


def test_an_installed_wheel_names_what_the_extra_requires(tmp_path):
    folder = elsewhere(tmp_path, *METADATA)
    assert said(folder, "io", "safetensors") == "pip install 'safetensors>=0.4'"
    assert said(folder, "cuda12", "cupy-cuda12x") == "pip install 'cuda-bindings<13,>=12.9' 'cupy-cuda12x[ctk]>=14'"


def test_an_older_installation_without_that_extra_names_the_package(tmp_path):
    assert said(elsewhere(tmp_path, *METADATA), "stream", "pyarrow") == "pip install pyarrow"


def test_a_copied_folder_without_metadata_names_the_package(tmp_path):
    assert said(elsewhere(tmp_path), "io", "safetensors") == "pip install safetensors"


def test_a_clone_names_itself_also_where_its_path_has_spaces(tmp_path):
    folder = elsewhere(tmp_path / "my clone's", *METADATA)
    (folder / "pyproject.toml").write_text('[project]\nname = "bpx-nn"\n', encoding="utf-8")
    words = shlex.split(said(folder, "io", "safetensors"))
    assert words == ["pip", "install", "-e", f"{folder.resolve()}[io]"]


def test_another_projects_pyproject_beside_a_copy_is_not_taken_for_a_clone(tmp_path):
    folder = elsewhere(tmp_path)
    (folder / "pyproject.toml").write_text('[project]\nname = "thesis"\n', encoding="utf-8")
    assert said(folder, "io", "safetensors") == "pip install safetensors"


def test_no_metadata_is_read_before_somebody_reads_a_message():
    # CuPy is looked for, and its absence only logged.
    script = "import sys, bpx; bpx.MLP([2, 2]); assert 'importlib.metadata' not in sys.modules"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BPX_")}
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, env=environment)


def test_nothing_in_the_package_names_bpx_nn_to_pip():
    for path in PACKAGE.rglob("*.py"):
        assert not re.search(r"pip install '?bpx", path.read_text(encoding="utf-8")), path
