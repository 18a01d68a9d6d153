"""A sweep over networks that a user's function makes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from threading import Event
from typing import Any, NamedTuple, final

import numpy as np

from bpx.errors.hints import instead_of
from bpx.network.class_weight import class_weights
from bpx.network.mlp import MLP
from bpx.search.driver import Search
from bpx.search.folds import Fold, folds, order_of
from bpx.search.grid import Setting
from bpx.search.member_stopping import MemberStopping
from bpx.search.scoring import Scoring, default_scoring, scoring_of
from bpx.search.trial_config import OPTIONS, TrialConfig, stacked_optimizer, trial_config
from bpx.search.trials import Trial, TrialResult, largest_stack
from bpx.stop import ErrorRate, StopRule
from bpx.streams.data import Data, check_batch_size
from bpx.training.array_feed import Sampler, SparseRows, rows_between, take_rows
from bpx.training.assemble import Training, assemble
from bpx.training.history import StopReason
from bpx.training.hold_out import classes_of
from bpx.training.solvers import SciPy
from bpx.training.stacking import stacked
from bpx.training.training_data import check_data, check_validation

# Arguments of a sweep over networks that are the same in all settings, with their defaults.
COMMON: dict[str, Any] = {"sample_weight": None, "stop": (), "seed": 0}


class Group(NamedTuple):
    """Data and scoring of settings whose networks can be trained in one stack."""

    data: Data  # all rows, on the networks' device
    validation: Data | None  # data to score on in place of folds
    score: Scoring


@final
class NetworkSearch(Search):
    """Networks of each setting, trained as by `bpx.fit`; arguments as of `bpx.sweep`."""

    best = "best_net"

    def __init__(
        self, make: Callable[..., MLP], settings: Sequence[Setting], X: Any, y: Any, *, cv: Any, validation: Any,
        scoring: Any, refit: bool, stack: int | None, options: Mapping[str, Any],
    ) -> None:  # fmt: skip
        common = {name: options.get(name, value) for name, value in COMMON.items()}
        self.rules: list[StopRule] = [common["stop"]] if isinstance(common["stop"], StopRule) else list(common["stop"])
        self.seed = common["seed"]
        self.settings, self.stack = settings, stack
        pair = isinstance(validation, (tuple, list))
        defaults = {name: options.get(name, value) for name, value in OPTIONS.items()}
        self.configs = [trial_config(make, setting, defaults) for setting in settings]
        nets = [config.network() for config in self.configs]
        self.keys = [config.key(net) for config, net in zip(self.configs, nets, strict=True)]
        self.shapes = [(net.sizes, np.dtype(net.dtype).itemsize) for net in nets]
        self.on_host = nets[0].backend.xp is np
        scoring = default_scoring(self.configs[0].loss) if scoring is None else scoring
        self.groups: dict[Hashable, Group] = {}
        for key, config, net in zip(self.keys, self.configs, nets, strict=True):
            if key not in self.groups:
                data = self._with_known_inputs(check_data(net, X, y, config.loss, common["sample_weight"]))
                separate = check_validation(net, validation, config.loss) if pair else None
                targets = [part.y for part in (data, separate) if part is not None]
                self.scoring, score = scoring_of(scoring, net, targets, config.loss)
                self.groups[key] = Group(data, separate, score)
            self._assemble(net, self.groups[key].data, config, stop=())  # raises if it cannot be trained
        first, to_host = self.groups[self.keys[0]].data, nets[0].backend.to_host
        classes = classes_of(to_host(first.y), self.configs[0].loss)
        self.folds = folds(first.X.shape[0], classes, cv, validation, self.seed, (X, y))
        if first.weight is not None:
            weight = to_host(first.weight)
            if not all(np.any(weight[fold.train] > 0.0) for fold in self.folds):
                raise ValueError("sample_weight: in one of the folds every row to train on has weight zero")
        self._check_rules(refit)

    @staticmethod
    def check_options(options: Mapping[str, Any]) -> None:
        """TypeError for names that are arguments neither of `bpx.fit` nor of the sweep."""
        unknown = [name for name in options if name not in OPTIONS and name not in COMMON]
        if unknown:
            instead = instead_of("bpx.sweep", unknown[0], [*OPTIONS, *COMMON], options)
            raise TypeError(f"sweep got unknown arguments {unknown}; {instead}")

    def _with_known_inputs(self, data: Data) -> Data:
        """The data with the inputs of another group if these are on the same device in the same dtype."""
        if isinstance(data.X, SparseRows):
            return data
        for known in (group.data.X for group in self.groups.values()):
            same = type(known) is type(data.X) and known.dtype == data.X.dtype
            if same and known.device == data.X.device:
                return data._replace(X=known)
        return data

    def _check_rules(self, refit: bool) -> None:
        """Refuse rules that a sweep does not support, or that would use held-out rows for training."""
        held_out = self.folds[0].test is not None
        for rule in self.rules:
            if not isinstance(rule, StopRule):
                raise TypeError(f"stop: expected rules of bpx.stop such as Patience('loss'), got {rule!r}")
            monitor = getattr(rule, "monitor", "loss")
            if isinstance(monitor, str) and monitor not in {"loss", "val_loss"}:
                raise ValueError(
                    f"stop: a sweep's rules watch 'loss', 'val_loss' or a function of the run, got monitor={monitor!r}"
                )
            if held_out and isinstance(rule, ErrorRate):
                raise ValueError("stop: ErrorRate looks at all rows, the held-out ones too; use TargetLoss or Patience")
            if held_out and refit and monitor == "val_loss":
                raise ValueError(
                    "stop: the last training, on all rows, has none held out for monitor='val_loss'; give refit=False,"
                    " or validation=(X_val, y_val)"
                )

    def key(self, trial: Trial) -> Hashable:
        return self.keys[trial.setting], len(self.folds[trial.fold].train)

    def sort_key(self, trial: Trial) -> Any:
        return self.configs[trial.setting].rate

    def most(self, trial: Trial) -> int:
        config, (sizes, itemsize) = self.configs[trial.setting], self.shapes[trial.setting]
        if isinstance(config.optimizer, SciPy):
            return 1
        rows = check_batch_size(config.options["batch_size"], len(self.folds[trial.fold].train))
        return largest_stack(self.stack, sizes, rows, itemsize, self.on_host)

    def train(self, trials: list[Trial], halt: Event) -> list[TrialResult]:
        configs = [self.configs[trial.setting] for trial in trials]
        if isinstance(configs[0].optimizer, SciPy):
            return [self._train_alone(trial, halt) for trial in trials]
        config, group = configs[0], self.groups[self.keys[trials[0].setting]]
        trial_folds = [self.folds[trial.fold] for trial in trials]
        net = stacked([one.network() for one in configs])
        with net.backend.scope():
            data, n = _class_weighted(net, group.data, config, trial_folds), len(trial_folds[0].train)
            size = check_batch_size(config.options["batch_size"], n)
            stopping = MemberStopping(self.rules, halt)
            history = self._assemble(
                net, data, config, optimizer=stacked_optimizer([one.optimizer for one in configs]), batch_size=size,
                order=order_of(Sampler(config.options["sampling"], n, size, self.seed), data.X.shape[0], trial_folds),
                l2=_one_or_each([one.options["l2"] for one in configs]), class_weight=None, stop=stopping,
                tolerates_divergence=True, validation=_held_out(net, group, trial_folds) if self.rules else None,
            ).train()  # fmt: skip
            if history.stop_reason is StopReason.INTERRUPTED:
                raise KeyboardInterrupt
            finite = ~stopping.lost & np.all(np.isfinite(net.backend.to_host(net.flat)), axis=-1)
            results = []
            for k, (trial, fold) in enumerate(zip(trials, trial_folds, strict=True)):
                score = group.score(net.member(k), _test(net, group, fold), config.loss) if finite[k] else np.nan
                results.append(TrialResult(trial, score, int(stopping.epochs[k])))
        return results

    def _train_alone(self, trial: Trial, halt: Event) -> TrialResult:
        """Train a network with a method of SciPy's, which cannot train stacks."""
        config, fold = self.configs[trial.setting], self.folds[trial.fold]
        group, net = self.groups[self.keys[trial.setting]], config.network()
        with net.backend.scope():
            data, test = _take(net, group.data, fold.train), _test(net, group, fold)
            history = self._assemble(
                net, data, config, validation=test if self.rules else None, callbacks=lambda _: halt.is_set()
            ).train()
            score = np.nan if history.diverged else group.score(net, test, config.loss)
        return TrialResult(trial, score, history.epochs)

    def refit(self, setting: Setting) -> MLP:
        index = self.settings.index(setting)
        config, group = self.configs[index], self.groups[self.keys[index]]
        net = config.network()
        self._assemble(net, group.data, config, validation=group.validation).train()
        return net

    def _assemble(self, net: MLP, data: Data, config: TrialConfig, **options: Any) -> Training:
        """A run with the arguments of a setting; `options` replace some of them."""
        return assemble(net, data, **({"stop": self.rules, "seed": self.seed} | dict(config.options) | options))


def _take(net: MLP, data: Data, rows: Any) -> Data:
    """Rows of the data, dense."""
    return rows_between(take_rows(net.backend, data, rows), 0, len(rows))


def _test(net: MLP, group: Group, fold: Fold) -> Data:
    """The data that a network is scored on."""
    return _take(net, group.data, fold.test) if group.validation is None else group.validation


def _held_out(net: MLP, group: Group, folds: Sequence[Fold]) -> Data:
    """Validation data for stopping rules: all rows, with weight 0 for those that a network does not hold out."""
    if group.validation is not None:
        return group.validation
    weight = np.zeros((len(folds), group.data.X.shape[0], 1))
    for k, fold in enumerate(folds):
        weight[k, fold.test] = 1.0
    return _weighted(net, group.data, weight)


def _class_weighted(net: MLP, data: Data, config: TrialConfig, folds: Sequence[Fold]) -> Data:
    """The data, their weights multiplied by the class weights that each network's fold has."""
    if config.options["class_weight"] is None:
        return data
    y = net.backend.to_host(data.y)
    factors = np.zeros((len(folds), data.X.shape[0], 1))
    for k, fold in enumerate(folds):
        factors[k, fold.train] = class_weights(y[fold.train], config.options["class_weight"], net.sizes[-1])
    return _weighted(net, data, factors)


def _weighted(net: MLP, data: Data, factors: Any) -> Data:
    """The data, their weights multiplied by `factors` (K, n, 1)."""
    weight = net.asarray(factors)
    return data._replace(weight=weight if data.weight is None else weight * data.weight)


def _one_or_each(values: list[Any]) -> Any:
    """The values, or a single one if all are equal."""
    return values[0] if len(set(values)) == 1 else values
