"""Every optimizer against its cited equation, written here in plain NumPy for one step at a time."""

from __future__ import annotations

import numpy as np
import pytest

import bpx
from bpx.formulas import optimizers, updates
from bpx.formulas.optimizers import OPTIMIZERS, SGD, Adagrad, Adam, AdamW, RMSprop

STEPS = 6
K, P = 3, 5  # networks of a stack, parameters of each


# ---------------------------------------------------------------- the equations, theta_0 and g_1 .. g_T to theta_T


def _polyak(theta, gradients, rate=0.01, momentum=0.0):
    """Polyak 1964, in Sutskever et al. 2013's equations 1 and 2: v = mu v - eps g; theta = theta + v."""
    v = 0.0
    for g in gradients:
        v = momentum * v - rate * g
        theta = theta + v
    return theta


def _nesterov(theta, gradients, rate=0.01, momentum=0.0):
    """Sutskever et al. 2013, equations 3 and 4, with g_t the gradient at theta + mu v; returns that point."""
    v = 0.0
    for g in gradients:
        v = momentum * v - rate * g
        theta = theta + v
    return theta + momentum * v


def _rmsprop(theta, gradients, rate=0.001, rho=0.99, epsilon=1e-8):
    """Tieleman and Hinton 2012, slide 29: divide by the root of a running mean of g^2."""
    mean_square = 0.0
    for g in gradients:
        mean_square = rho * mean_square + (1.0 - rho) * g**2
        theta = theta - rate * g / (np.sqrt(mean_square) + epsilon)
    return theta


def _adagrad(theta, gradients, rate=0.01, epsilon=1e-10):
    """Duchi et al. 2011, diagonal form: divide by the root of the sum of all g^2 so far."""
    for t, g in enumerate(gradients):
        theta = theta - rate * g / (np.sqrt(sum(past**2 for past in gradients[: t + 1])) + epsilon)
    return theta


def _adam(theta, gradients, rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-8, hat=False, decay=0.0):
    """Kingma and Ba 2015, algorithm 1, or with `hat` the order that the text before section 2.1 gives.

    With `decay`, Loshchilov and Hutter 2019, algorithm 2, its weight decay scaled by the rate.
    """
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        m = beta_1 * m + (1.0 - beta_1) * g
        v = beta_2 * v + (1.0 - beta_2) * g**2
        if hat:
            rate_t = rate * np.sqrt(1.0 - beta_2**t) / (1.0 - beta_1**t)
            move = rate_t * m / (np.sqrt(v) + epsilon)
        else:
            move = rate * (m / (1.0 - beta_1**t)) / (np.sqrt(v / (1.0 - beta_2**t)) + epsilon)
        theta = theta - move - rate * decay * theta
    return theta


CASES = {
    "sgd": (SGD(), _polyak, {}),
    "sgd 0.3": (SGD(0.3), _polyak, {"rate": 0.3}),
    "momentum": (SGD(0.1, momentum=0.9), _polyak, {"rate": 0.1, "momentum": 0.9}),
    "nesterov": (SGD(0.1, momentum=0.9, nesterov=True), _nesterov, {"rate": 0.1, "momentum": 0.9}),
    "nesterov without momentum": (SGD(0.1, nesterov=True), _polyak, {"rate": 0.1}),
    "rmsprop": (RMSprop(), _rmsprop, {}),
    "rmsprop 0.9": (RMSprop(0.02, rho=0.9, epsilon=0.1), _rmsprop, {"rate": 0.02, "rho": 0.9, "epsilon": 0.1}),
    "adagrad": (Adagrad(), _adagrad, {}),
    "adagrad 0.5": (Adagrad(0.5, epsilon=0.1), _adagrad, {"rate": 0.5, "epsilon": 0.1}),
    "adam": (Adam(), _adam, {}),
    "adam 0.8": (Adam(0.1, beta_1=0.8, beta_2=0.95), _adam, {"rate": 0.1, "beta_1": 0.8, "beta_2": 0.95}),
    "adam without memory": (Adam(0.1, beta_1=0.0, beta_2=0.0), _adam, {"rate": 0.1, "beta_1": 0.0, "beta_2": 0.0}),
    "adam epsilon": (Adam(0.1, epsilon=0.1), _adam, {"rate": 0.1, "epsilon": 0.1}),
    "adam epsilon hat": (
        Adam(0.1, epsilon=0.1, epsilon_hat=True),
        _adam,
        {"rate": 0.1, "epsilon": 0.1, "hat": True},
    ),
    "adamw": (AdamW(), _adam, {"decay": 0.01}),
    "adamw 0.3": (AdamW(0.1, weight_decay=0.3), _adam, {"rate": 0.1, "decay": 0.3}),
    "adamw without decay": (AdamW(weight_decay=0.0), _adam, {}),
}
# Every number an optimizer has, one for each network of a stack.
STACKED = {
    "sgd": SGD([0.1, 0.2, 0.3]),
    "momentum": SGD([0.1, 0.2, 0.3], momentum=[0.9, 0.0, 0.5]),
    "nesterov": SGD(np.array([0.1, 0.2, 0.3]), momentum=(0.9, 0.0, 0.5), nesterov=True),
    "rmsprop": RMSprop([0.1, 0.2, 0.3], rho=[0.9, 0.0, 0.5], epsilon=[1e-8, 0.1, 1e-3]),
    "adagrad": Adagrad([0.1, 0.2, 0.3], epsilon=[1e-8, 0.1, 1e-3]),
    "adam": Adam([0.1, 0.2, 0.3], [0.9, 0.0, 0.5], [0.999, 0.9, 0.0], [1e-8, 0.1, 1e-3]),
    "epsilon hat": Adam([0.1, 0.2, 0.3], [0.9, 0.0, 0.5], [0.999, 0.9, 0.0], [1e-8, 0.1, 1e-3], epsilon_hat=True),
    "adamw": AdamW([0.1, 0.2, 0.3], [0.9, 0.0, 0.5], [0.999, 0.9, 0.0], [1e-8, 0.1, 1e-3], [0.0, 0.1, 1.0]),
    "clipped": SGD(0.1, momentum=0.5, clip_norm=[0.1, 1.0, 1e9]),
}


def _steps(lib, optimizer, params, gradients, dtype="float64", **options):
    """Parameters and state after one step for each gradient."""
    params = lib.asarray(np.array(params), dtype)  # a copy: updates write in place
    state = optimizer.init(params)
    for g in gradients:
        params, state = optimizer.update(lib.asarray(g, dtype), state, params, **options)
    return params, state


def _dtypes(params, state) -> set:
    """Those of the parameters and of every moment."""
    return {params.dtype, *(value.dtype for name, value in state.items() if name != "step")}


def _of(optimizer, k: int):
    """The optimizer of network k of a stack: number k of each array."""
    numbers = {name: value for name, value in vars(optimizer).items() if np.ndim(value) == 1}
    return type(optimizer)(**(vars(optimizer) | {name: float(value[k]) for name, value in numbers.items()}))


def test_every_registered_optimizer_is_tested():
    assert set(OPTIMIZERS.values()) == {type(case[0]) for case in CASES.values()}
    assert set(OPTIMIZERS.values()) == {type(optimizer) for optimizer in STACKED.values()}


@pytest.mark.parametrize("shape", [(P,), (K, P)], ids=["single", "stack"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_steps_follow_the_cited_equation(lib, close, rng, name, shape):
    optimizer, equation, symbols = CASES[name]
    theta, gradients = rng.normal(size=shape), rng.normal(size=(STEPS, *shape))
    for steps in (1, 2, 3, STEPS):
        params, state = _steps(lib, optimizer, theta, gradients[:steps], xp=lib.xp)
        close(lib.to_host(params), equation(theta, list(gradients[:steps]), **symbols))
        assert state["step"] == steps


@pytest.mark.parametrize("momentum", [0.5, 0.99])
def test_nesterov_looks_ahead_on_a_real_function(close, rng, momentum):
    # f = theta A theta / 2: here the gradient depends on where it is taken, so a gradient at theta would be seen.
    A, rate = np.diag([1.0, 2.0, 5.0]), 0.1
    theta = params = rng.normal(size=3)
    params, v = params.copy(), np.zeros(3)
    optimizer = SGD(rate, momentum, nesterov=True)
    state = optimizer.init(params)
    for _ in range(STEPS):
        v = momentum * v - rate * A @ (theta + momentum * v)
        theta = theta + v
        params, state = optimizer.update(A @ params, state, params)
        close(params, theta + momentum * v)


@pytest.mark.parametrize("name", sorted(STACKED))
def test_a_stack_with_a_number_for_each_network_equals_separate_runs(lib, close, rng, name):
    optimizer = STACKED[name]
    theta, gradients = rng.normal(size=(K, P)), rng.normal(size=(STEPS, K, P))
    bound = optimizer.bind(lambda a: lib.asarray(a, "float64"), K)
    stacked, _ = _steps(lib, bound, theta, gradients)
    for k in range(K):
        alone, _ = _steps(lib, _of(optimizer, k), theta[k], gradients[:, k])
        close(lib.to_host(stacked)[k], lib.to_host(alone))


@pytest.mark.parametrize("name", sorted(STACKED))
def test_training_a_stack_with_a_number_for_each_network_equals_separate_trainings(lib, close, rng, name):
    X, y = rng.normal(size=(10, 2)), rng.normal(size=(10, 2))
    how = {"loss": "squared_error", "epochs": 4, "batch_size": 4, "seed": 5}
    net = bpx.MLP([2, 3, 2], "tanh", "identity", dtype="float64", seed=7, backend=lib, stack=K)
    history = bpx.fit(net, X, y, optimizer=STACKED[name], l2=[0.0, 0.1, 0.01], **how)
    for k in range(K):
        alone = bpx.MLP([2, 3, 2], "tanh", "identity", dtype="float64", seed=7 + k, backend=lib)
        own = bpx.fit(alone, X, y, optimizer=_of(STACKED[name], k), l2=[0.0, 0.1, 0.01][k], **how)
        close(lib.to_host(net.flat)[k], lib.to_host(alone.flat))
        close(np.asarray(history.loss)[:, k], own.loss)


@pytest.mark.parametrize("optimizer", [*(case[0] for case in CASES.values()), SGD(0.1, clip_norm=0.1)])
def test_float32_stays_float32(lib, close, rng, optimizer):
    theta, gradients = rng.normal(size=(K, P)), rng.normal(size=(3, K, P))
    params, state = _steps(lib, optimizer, theta, gradients, "float32")
    assert _dtypes(params, state) == {lib.asarray(np.float32(0)).dtype}
    exact, _ = _steps(lib, optimizer, theta, gradients, "float64")
    close(lib.to_host(params), lib.to_host(exact), "float32")


@pytest.mark.parametrize("name", sorted(STACKED))
def test_float32_stays_float32_with_a_number_for_each_network(lib, rng, name):
    bound = STACKED[name].bind(lambda a: lib.asarray(a, "float32"), K)
    params, state = _steps(lib, bound, rng.normal(size=(K, P)), rng.normal(size=(3, K, P)), "float32")
    assert _dtypes(params, state) == {lib.asarray(np.float32(0)).dtype}


@pytest.mark.parametrize("scalar", [np.float64, np.float32, np.array])
def test_numpy_scalars_are_numbers(lib, rng, scalar):
    # An np.float64 that multiplies a float32 array makes it float64; as a Python float it does not.
    theta, gradients = rng.normal(size=P), rng.normal(size=(3, P))
    for plain, given in [
        (SGD(0.5, momentum=0.25, clip_norm=1.0), SGD(scalar(0.5), momentum=scalar(0.25), clip_norm=scalar(1.0))),
        (Adam(0.5, 0.25, 0.5, 0.125), Adam(scalar(0.5), scalar(0.25), scalar(0.5), scalar(0.125))),
    ]:
        expected, _ = _steps(lib, plain, theta, gradients, "float32")
        params, state = _steps(lib, given, theta, gradients, "float32")
        np.testing.assert_array_equal(lib.to_host(params), lib.to_host(expected))
        assert _dtypes(params, state) == {lib.asarray(np.float32(0)).dtype}


def test_update_finds_the_namespace_of_its_arrays(lib, rng):
    theta, gradients = rng.normal(size=P), rng.normal(size=(3, P))
    for optimizer in (Adam(), SGD(0.1, clip_norm=0.5)):
        found, _ = _steps(lib, optimizer, theta, gradients)
        expected, _ = _steps(lib, optimizer, theta, gradients, xp=lib.xp)
        np.testing.assert_array_equal(lib.to_host(found), lib.to_host(expected))


@pytest.mark.parametrize("optimizer", [*(case[0] for case in CASES.values()), SGD(0.1, clip_norm=0.1)])
def test_update_leaves_the_gradient_alone(rng, optimizer):
    params, g = rng.normal(size=P), rng.normal(size=P)
    before = g.copy()
    optimizer.update(g, optimizer.init(params), params)
    np.testing.assert_array_equal(g, before)


def test_a_rate_given_to_update_goes_before_the_optimizers_own(lib, close, rng):
    theta, gradients = rng.normal(size=(K, P)), rng.normal(size=(3, K, P))
    rates = np.array([[0.1], [0.2], [0.3]])
    params, _ = _steps(lib, SGD(9.0), theta, gradients, learning_rate=lib.asarray(rates))
    close(lib.to_host(params), theta - rates * gradients.sum(axis=0))


def test_update_with_a_schedule_asks_for_the_rate():
    optimizer, params = SGD(bpx.schedules.Cosine(0.1, 10)), np.zeros(2)
    with pytest.raises(ValueError, match="learning_rate="):
        optimizer.update(params, optimizer.init(params), params)


# ---------------------------------------------------------------- clipping


def test_clipping_scales_each_networks_gradient_to_the_norm(lib, close):
    grads = np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])  # norms 5, 0.5 and 0
    clipped = updates.clip_by_global_norm(lib.xp, lib.asarray(grads), 1.0)
    close(lib.to_host(clipped), [[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]])
    own = lib.asarray(np.array([[10.0], [0.1], [1.0]]))
    close(
        lib.to_host(updates.clip_by_global_norm(lib.xp, lib.asarray(grads), own)),
        [[3.0, 4.0], [0.06, 0.08], [0.0, 0.0]],
    )


def test_clipping_leaves_a_small_gradient_bit_for_bit(lib, rng):
    grads = rng.normal(size=50).astype(np.float32)
    clipped = updates.clip_by_global_norm(lib.xp, lib.asarray(grads), 1e3)
    np.testing.assert_array_equal(lib.to_host(clipped), grads)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_clips_before_its_step(close, rng, name):
    theta, gradients = rng.normal(size=P), 10.0 * rng.normal(size=(3, P))
    lib = bpx.get_backend("numpy")
    clipped, _ = _steps(lib, OPTIMIZERS[name](clip_norm=0.5), theta, gradients)
    shrunk = [g * 0.5 / np.linalg.norm(g) for g in gradients]
    close(clipped, _steps(lib, OPTIMIZERS[name](), theta, shrunk)[0])


# ---------------------------------------------------------------- errors


def test_get_takes_names_and_objects_and_lists_the_known_names():
    assert optimizers.get("adam") == Adam()
    mine = SGD(0.5)
    assert optimizers.get(mine) is mine
    with pytest.raises(ValueError, match=r"unknown optimizer 'adamax'.*adagrad.*sgd"):
        optimizers.get("adamax")
    with pytest.raises(TypeError, match="name or object"):
        optimizers.get(SGD)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("kind", "name", "bad"),
    [(kind, "learning_rate", bad) for kind in OPTIMIZERS.values() for bad in (0.0, -1.0, INF, NAN, [0.1, 0.0])]
    + [(kind, "clip_norm", bad) for kind in OPTIMIZERS.values() for bad in (0.0, -1.0, INF, NAN)]
    + [(SGD, "momentum", bad) for bad in (-0.1, 1.1, NAN, [0.5, 1.1])]
    + [(RMSprop, "rho", bad) for bad in (-0.1, 1.0, NAN)]
    + [(kind, name, bad) for kind in (Adam, AdamW) for name in ("beta_1", "beta_2") for bad in (-0.1, 1.0, NAN)]
    + [(kind, "epsilon", bad) for kind in (RMSprop, Adagrad, Adam, AdamW) for bad in (0.0, -1.0, NAN)]
    + [(AdamW, "weight_decay", bad) for bad in (-0.1, INF, NAN)],
)
def test_a_hyperparameter_out_of_range_is_refused_by_name(kind, name, bad):
    with pytest.raises(ValueError, match=name.replace("_", "[_ ]") + ": expected"):
        kind(**{name: bad})


@pytest.mark.parametrize(
    ("stack", "optimizer", "name"),
    [
        (None, SGD([0.1, 0.2]), "learning_rate"),
        (None, Adam(beta_1=[0.9]), "beta_1"),
        (3, Adam(epsilon=[1e-8, 1e-7]), "epsilon"),
        (3, SGD(clip_norm=[1.0, 2.0]), "clip_norm"),
        (3, SGD(np.full((3, 1), 0.1)), "learning_rate"),
        (None, SGD(bpx.schedules.Cosine(np.array([0.1, 0.2]), 5)), "learning_rate"),
        (3, SGD(bpx.schedules.Adaptive([0.1, 0.2])), "learning_rate"),
    ],
)
def test_arrays_of_another_length_than_the_stack_are_refused_before_training(stack, optimizer, name):
    net = bpx.MLP([1, 1], output="identity", stack=stack, backend="numpy")
    before = net.flat.copy()
    with pytest.raises(ValueError, match=f"{name}: expected (one|a) number"):
        bpx.fit(net, [[1.0]], [[1.0]], "squared_error", optimizer)
    np.testing.assert_array_equal(net.flat, before)


def test_bind_without_arrays_gives_the_optimizer_itself():
    optimizer = Adam(0.1, clip_norm=1.0)
    assert optimizer.bind(np.asarray, 4) is optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_update_copies_what_is_read_only(name):
    def locked(a):
        a = np.array(a)
        a.setflags(write=False)
        return a

    optimizer, theta, gradient = OPTIMIZERS[name](), np.arange(P, dtype=np.float64), np.ones(P)
    state = {key: value if np.isscalar(value) else locked(value) for key, value in optimizer.init(theta).items()}
    kept = locked(theta)
    moved, _ = optimizer.update(gradient, state, kept)
    expected, _ = optimizer.update(gradient, optimizer.init(theta), theta.copy())
    np.testing.assert_array_equal(moved, expected)
    np.testing.assert_array_equal(kept, theta)
