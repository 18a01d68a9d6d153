"""Load model files that were damaged or forged, by the thousand: ``python tests/fuzz_files.py --count 100000``.

A damaged file (bytes flipped, cut, moved, inserted) has to be refused with a FileFormatError, or to give what was
saved, to the last bit: never something else. A forged one (its header changed by somebody who computes the digests
anew) has to be refused, or to give a model that computes. No load may take a second of processor time, or 200 MB.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import json
import os
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import bpx
from bpx.files import container, header, network_json
from bpx.files.container import FORMS

SECONDS, MEGABYTES = 1.0, 200
INPUTS = np.linspace(-1.0, 1.0, 12).reshape(4, 3)


@dataclass
class Sample:
    """A sound file, how it is loaded, and what it then is."""

    name: str
    data: bytes
    load: Callable[[str], Any]
    document: dict[str, Any]
    arrays: dict[str, np.ndarray]
    prints: set[bytes] = field(default_factory=set)


def fingerprint(model: Any) -> bytes:
    """Everything that a loaded model is, as bytes."""
    net = model if isinstance(model, bpx.MLP) else model._net
    parts, arrays = network_json.to_json(net)
    state: Any = [parts]
    if model is not net:
        known = vars(model)
        random = model.random_state
        state += [random.get_state() if hasattr(random, "get_state") else random]
        state += [
            repr(model.set_params(random_state=None).get_params()),
            [repr(known[name]) for name in sorted(known) if name.endswith("_")],
        ]
        state += [repr(known["_resume"] and known["_resume"]["state"]), model.predict(INPUTS).tolist()]
    return repr(state).encode() + b"".join(array.tobytes() for array in arrays.values())


def computes(model: Any) -> None:
    """A forged model that was let in answers."""
    if isinstance(model, bpx.MLP):
        model(np.zeros((2, model.sizes[0])))
    else:
        model.predict(np.zeros((2, model.n_features_in_)))


def sound_files(folder: Path) -> list[Sample]:
    """Small files of every kind and form."""
    relu = bpx.activations.leaky_relu(0.2)
    models: dict[str, Any] = {
        "small": bpx.MLP([3, 2], output="identity", backend="numpy"),
        "deep": bpx.MLP([3, 4, 3, 2], ["tanh", relu], dropout=[0.1, 0.0], dtype="float64", seed=5, backend="numpy"),
        "stack": bpx.MLP([3, 4, 1], output="sigmoid", bias=[True, False], seed=[1, 2], stack=2, backend="numpy"),
    }
    loaders: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y = np.array(["ash", "birch", "birch", "cedar"])
        small = {"hidden_layer_sizes": (4,), "max_iter": 20, "random_state": 0, "backend": "numpy"}
        classifier = bpx.MLPClassifier(**small, solver="sgd", learning_rate="adaptive").fit(INPUTS, y)
        several = bpx.MLPClassifier(**small).fit(INPUTS, [[0, 5], [1, 5], [2, 6], [0, 6]])
        regressor = bpx.MLPRegressor(**small | {"random_state": np.random.RandomState(3)}, solver="lbfgs")
        models |= {"classifier": classifier, "several": several, "regressor": regressor.fit(INPUTS, np.arange(4.0))}
        loaders |= {"classifier": bpx.MLPClassifier.load, "several": bpx.MLPClassifier.load}
        loaders |= {"regressor": bpx.MLPRegressor.load}
    samples = []
    for name, model in models.items():
        for form in FORMS:
            path = folder / f"{name}{form}"
            model.save(path, metadata={"who": name, "numbers": [1, 2.5, None]})
            load = loaders.get(name, lambda p: bpx.load(p, "numpy"))
            document, arrays = container.read(path, lambda *_: None)
            prints = {fingerprint(read(str(path))) for read in (load, lambda p: bpx.load(p, "numpy"))}
            samples.append(Sample(path.name, path.read_bytes(), load, document, arrays, prints))
    return samples


# ---------------------------------------------------------------------- damage

NUMBERS = [0, 1, 2, 7, 8, 22, 64, 255, 2**15, 2**16 - 1, 2**20, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1]


def damaged(data: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """One to three random changes of bytes."""
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        data = DAMAGES[rng.integers(len(DAMAGES))](data, rng, other)
    return data


def _place(data: bytes, rng: np.random.Generator) -> int:
    """A place in the data, often near its beginning or its end, where headers are."""
    n = max(len(data), 1)
    near = int(rng.integers(min(n, 64)))
    return [int(rng.integers(n)), int(rng.integers(n)), near, n - 1 - near][rng.integers(4)]


def _flip(data: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.choice([1, 1, 2, 8]))):
        if changed:
            changed[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _overwrite(data: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    i, n = _place(data, rng), int(rng.choice([1, 2, 4, 8]))
    value = NUMBERS[rng.integers(len(NUMBERS))] % 2 ** (8 * n)
    return (data[:i] + value.to_bytes(n, "little") + data[i + n :])[: max(len(data), n)]


def _cut(data: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    return data[: _place(data, rng)]


def _delete(data: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    i = _place(data, rng)
    return data[:i] + data[i + int(rng.integers(1, 40)) :]


def _insert(data: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    i = _place(data, rng)
    return data[:i] + rng.bytes(int(rng.integers(1, 40))) + data[i:]


def _repeat(data: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    i = _place(data, rng)
    piece = data[i : i + int(rng.integers(1, 200))]
    j = _place(data, rng)
    return data[:j] + piece * int(rng.integers(1, 4)) + data[j:]


def _zero(data: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    i, n = _place(data, rng), int(rng.integers(1, 64))
    return data[:i] + bytes(len(data[i : i + n])) + data[i + n :]


def _append(data: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    return data + rng.bytes(int(rng.integers(1, 64)))


def _splice(data: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    return data[: _place(data, rng)] + other[_place(other, rng) :]


DAMAGES = (_flip, _flip, _overwrite, _cut, _delete, _insert, _repeat, _zero, _append, _splice)


# ---------------------------------------------------------------------- forgery


def strange(rng: np.random.Generator) -> Any:
    """A value that a header has no place for, or that belongs elsewhere."""
    nested: Any = 0
    for _ in range(int(rng.integers(1, 60))):
        nested = [nested] if rng.integers(2) else {"a": nested}
    plain = [None, True, False, -1, 0, 1, 2, 3, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, -1e-308, [], {}, [1], [[]]]
    words = ["", "relu", "x" * 300, "\ud800", "0.W", "softmax", "1.b", "numpy", "float64", [1e9] * 20, nested]
    tagged = [
        {"own": "mine"}, {"array": "0.W"}, {"float": "nan"}, {"floats": "0.b"}, {"tuple": [1, 2]}, {"dict": [[1, 2]]},
        {"dict": [[[], 2]]}, {"strings": "0.W"}, {"rows": "0.W"}, {"name": "leaky_relu", "arguments": [0.1]},
        {"name": "elu", "arguments": [-1]}, {"objects": [1, "a", None]},
        {"name": "block_softmax", "arguments": [[1, 1]]}, {"activation": "relu"}, {"loss": "huber"},
        {"times": ["M8", "x"]}, {"Adam": {"learning_rate": 1}},
        {"RandomState": [{"array": "0.W"}, 9999, 0, 0.0]}, {"History": {}}, {"own": 3}, {"names": ["a"]},
    ]  # fmt: skip
    values: list[Any] = plain + words + tagged
    return values[rng.integers(len(values))]


def _nodes(tree: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a JSON tree."""
    found = []
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        found.append((tree, key))
        if isinstance(tree[key], (dict, list)):
            found += _nodes(tree[key])
    return found


def forged(sample: Sample, rng: np.random.Generator) -> bytes:
    """The sample with header or arrays changed, and signed anew."""
    document = json.loads(json.dumps(sample.document))
    arrays = {name: array.copy() for name, array in sample.arrays.items()}
    for _ in range(int(rng.choice([0, 1, 1, 2]))):
        nodes = _nodes(document)
        (tree, key), (other, place) = nodes[rng.integers(len(nodes))], nodes[rng.integers(len(nodes))]
        match int(rng.integers(6)):
            case 0 | 1 | 2:
                tree[key] = strange(rng)
            case 3:
                del tree[key]
            case 4:
                tree[key] = json.loads(json.dumps(other[place])) if place in other or isinstance(other, list) else 0
            case _ if isinstance(tree, dict):
                tree["more"] = strange(rng)
            case _:
                tree.append(strange(rng))
    if rng.integers(3) == 0:
        _forge_array(arrays, rng)
    table: Any = {name: [array.dtype.name, list(array.shape)] for name, array in arrays.items()}
    if rng.integers(4) == 0:
        name = list(table)[rng.integers(len(table))]
        table[name] = [
            strange(rng), [strange(rng), [2]], ["float32", strange(rng)], ["float32", [2**31, 2**31, 2**31]],
            ["float64", [10**12]], ["int64", list(arrays[name].shape)],
        ][rng.integers(6)]  # fmt: skip
    document |= {"arrays": table, "data_sha256": container._digest(arrays)}
    body = json.dumps(document, separators=(",", ":"))
    text = f'{{"sha256":"{header._digest(body)}",{body[1:]}'
    return FORMS[Path(sample.name).suffix].to_bytes(text, arrays)


def _forge_array(arrays: dict[str, np.ndarray], rng: np.random.Generator) -> None:
    """Change an array: a value that is not finite, another dtype or shape, one too few or too many."""
    name = list(arrays)[rng.integers(len(arrays))]
    match int(rng.integers(6)):
        case 0 | 1 if arrays[name].dtype.kind == "f":
            arrays[name].reshape(-1)[rng.integers(arrays[name].size)] = rng.choice([np.nan, np.inf, -np.inf])
        case 2:
            with np.errstate(all="ignore"):
                arrays[name] = arrays[name].astype(rng.choice(["float16", "float64", "int8", "bool", "uint32"]))
        case 3:
            arrays[name] = arrays[name].reshape(-1)
        case 4:
            del arrays[name]
        case _:
            arrays["more"] = np.arange(3.0)


# ---------------------------------------------------------------------- the run


def load_all(count: int, seed: int, keep: Path | None = None) -> Counter[str]:
    """Load `count` mutated files; returns how many ended in what way.

    Raises
    ------
    AssertionError
        For the first that ended otherwise than it should; the file is kept in `keep`.
    """
    rng = np.random.default_rng(seed)
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        samples = sound_files(Path(name))
        path = os.path.join(name, "file")
        _limit_memory()
        before, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0
        for number in range(count):
            sample, other = (samples[rng.integers(len(samples))] for _ in range(2))
            forging = bool(rng.integers(3) == 0)
            data = forged(sample, rng) if forging else damaged(sample.data, rng, other.data)
            with open(path, "wb") as file:
                file.write(data)
            if number % 100 == 0:
                faulthandler.dump_traceback_later(120, exit=True)
            start = time.process_time()
            try:
                outcome = _outcome(sample, other, path, forging)
                seconds = time.process_time() - start
                assert seconds < SECONDS, f"took {seconds:.1f} s"
            except BaseException as error:
                kept = (keep or Path(tempfile.gettempdir())) / f"fuzz-{hashlib.sha256(data).hexdigest()[:12]}"
                kept.write_bytes(data)
                raise AssertionError(f"mutation {number} of {sample.name} (seed {seed}), kept as {kept}") from error
            slowest = max(slowest, seconds)
            outcomes[f"{'forged' if forging else 'damaged'}: {outcome}"] += 1
        faulthandler.cancel_dump_traceback_later()
    outcomes["slowest load in ms"] = round(1000 * slowest)
    outcomes["growth of the process in MB"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    return outcomes


def _outcome(sample: Sample, other: Sample, path: str, forging: bool) -> str:
    """Load one file."""
    try:
        model = sample.load(path)
    except bpx.FileFormatError as error:
        message = str(error)
        assert message.startswith(path)
        assert len(message) < 1200
        return "refused"
    if forging:
        computes(model)
        return "let in, and computes"
    assert fingerprint(model) in sample.prints | other.prints
    return "read, and equal to the sound file"


def _limit_memory() -> None:
    """From here on no more than MEGABYTES may be asked for beyond what the process has."""
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEGABYTES * 2**20, resource.getrlimit(resource.RLIMIT_AS)[1]))


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for a file that ended otherwise than it should")
    options = parser.parse_args()
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", bpx.BackendFallbackWarning)
    outcomes = load_all(options.count, options.seed, options.keep)
    for name, number in sorted(outcomes.items()):
        print(f"{name}: {number}")
    print(f"{options.count} files")


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(main())
