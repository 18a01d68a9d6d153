"""What to write in place of a name that other libraries have."""

from __future__ import annotations

__all__ = ["INSTEAD", "OFF"]

_RATE = "give optimizer=bpx.{optimizer}({value})"
_EPOCHS = "give epochs={value}"
_PATIENCE = "give stop=bpx.stop.Patience(patience=10), with validation=0.2 or (X_val, y_val)"
_VALIDATION = "give validation=(X_val, y_val)"
_NETWORK = "it belongs to the network, bpx.MLP(sizes, {name}={value})"
_PROGRESS = "give progress=True"
_TO_FIT = "it belongs to training, bpx.fit(net, X, y, ...)"
_SIZES = "give sizes=[inputs, hidden units of each layer, ..., outputs], such as bpx.MLP([4, 100, 3])"
_BACKENDS = "; there are 'numpy', 'cupy', 'torch:cuda' and more"

# What to write in place of an argument or attribute that other libraries have; by the function's public name.
INSTEAD: dict[str, dict[str, str]] = {
    "bpx.fit": {
        **dict.fromkeys(("learning_rate", "lr", "learning_rate_init", "eta", "step_size"), _RATE),
        **dict.fromkeys(("max_iter", "n_epochs", "num_epochs", "nb_epoch", "n_iter", "max_epochs", "iters"), _EPOCHS),
        **dict.fromkeys(("early_stopping", "patience", "n_iter_no_change"), _PATIENCE),
        **dict.fromkeys(("validation_data", "val_data", "eval_set", "X_val", "y_val", "X_test", "y_test"), _VALIDATION),
        **dict.fromkeys(("validation_split", "validation_fraction", "test_size"), "give validation={value}"),
        **dict.fromkeys(("dropout", "dtype", "hidden", "output", "init", "stack"), _NETWORK),
        **dict.fromkeys(("activation", "activations", "hidden_activation", "act"),
                        "it belongs to the network, bpx.MLP(sizes, hidden={value})"),
        **dict.fromkeys(("output_activation", "out_activation"),
                        "it belongs to the network, bpx.MLP(sizes, output={value})"),
        **dict.fromkeys(("hidden_layer_sizes", "hidden_sizes", "layers", "sizes", "units"),
                        "it belongs to the network, bpx.MLP([inputs, hidden units of each layer, ..., outputs])"),
        **dict.fromkeys(("device", "backend"), "the network has it, bpx.MLP(sizes, backend={value})" + _BACKENDS),
        **dict.fromkeys(("verbose", "verbosity", "disp"), _PROGRESS),
        **dict.fromkeys(("criterion", "loss_fn", "loss_function", "objective", "cost"), "give loss={value}"),
        **dict.fromkeys(
            ("scheduler", "lr_scheduler", "schedule", "lr_schedule"),
            "a schedule is an optimizer's learning rate, optimizer=bpx.Adam(bpx.schedules.Cosine(0.001, length=20))",
        ),
        **dict.fromkeys(
            ("clip_norm", "clipnorm", "grad_clip", "gradient_clip", "max_grad_norm"),
            "give optimizer=bpx.{optimizer}(clip_norm={value})",
        ),
        **dict.fromkeys(("alpha", "reg", "regularization", "weight_penalty"), "give l2={value}"),
        **dict.fromkeys(("random_state", "random_seed"), "give seed={value}"),
        "momentum": "give optimizer=bpx.SGD(learning_rate=0.01, momentum={value})",
        "weight_decay": "give optimizer=bpx.AdamW(weight_decay={value}), or l2= for a penalty in the loss",
        "shuffle": "give sampling={value}",
        "solver": "give optimizer={value}",
        "weights": "give sample_weight=",
        "n_jobs": "threads are BLAS's, OPENBLAS_NUM_THREADS in the environment; processes are comm='mpi'",
        "callback": "give callbacks=[...]",
    },
    "bpx.MLP": {
        **dict.fromkeys(
            ("hidden_layer_sizes", "hidden_sizes", "hidden_size", "n_hidden", "input_size", "input_dim", "output_size",
             "in_features", "out_features", "n_in", "n_out", "layers", "layer_sizes", "units"), _SIZES
        ),
        **dict.fromkeys(("activation", "activations", "hidden_activation", "act"), "give hidden={value}"),
        **dict.fromkeys(("output_activation", "out_activation"), "give output={value}"),
        **dict.fromkeys(
            ("learning_rate", "lr", "optimizer", "solver", "loss", "epochs", "max_iter", "batch_size", "momentum", "l2",
             "alpha", "weight_decay", "early_stopping", "callbacks", "verbose", "learning_rate_init"), _TO_FIT
        ),
        **dict.fromkeys(("initializer", "kernel_initializer", "weight_init", "init_method"), "give init={value}"),
        **dict.fromkeys(("random_state", "random_seed"), "give seed={value}"),
        "device": "give backend={value}" + _BACKENDS,
        "use_bias": "give bias={value}",
        "n_networks": "give stack={value}",
    },
    "an optimizer": {
        **dict.fromkeys(("lr", "learning_rate_init", "eta", "step_size"), "give learning_rate={value}"),
        **dict.fromkeys(("clipnorm", "max_norm", "max_grad_norm", "gradient_clip"), "give clip_norm={value}"),
        **dict.fromkeys(
            ("decay", "lr_decay", "scheduler", "schedule"),
            "a schedule is the learning rate, learning_rate=bpx.schedules.StepDecay(0.01)",
        ),
        "betas": "give beta_1= and beta_2=",
        "eps": "give epsilon={value}",
        "weight_decay": "use bpx.AdamW(weight_decay={value}), or l2= of bpx.fit",
        "momentum": "use bpx.SGD(momentum={value})",
        "alpha": "give rho={value} | give weight_decay={value} |"
                 " a penalty on weights is l2={value} of bpx.fit, or weight_decay= of bpx.AdamW",
        "params": "bpx.fit gives it the parameters",
    },
    "a schedule": {
        **dict.fromkeys(("lr", "learning_rate", "learning_rate_init", "base_lr"), "give initial={value}"),
        **dict.fromkeys(("T_max", "decay_steps", "total_steps", "epochs"), "give length={value}"),
        **dict.fromkeys(("eta_min", "min_lr", "end_learning_rate"), "give minimum={value}"),
        "step_size": "give every={value}",
        **dict.fromkeys(("gamma", "decay_rate"), "give factor={value}"),
    },
    "a stopping rule": {
        "metric": "give monitor={value}",
        **dict.fromkeys(("n_iter_no_change", "epochs"), "give patience={value}"),
        "tol": "give min_delta={value}",
        "restore_best_weights": "give restore_best={value}",
    },
    "an estimator's fit": {
        **dict.fromkeys(("validation", "validation_data", "val_data", "eval_set"), "give X_val= and y_val="),
        **dict.fromkeys(
            ("epochs", "max_iter"), "the estimator has it, est.set_params(max_iter={value})"
        ),
        "batch_size": "the estimator has it, est.set_params(batch_size={value})",
        **dict.fromkeys(("verbose", "progress", "callbacks"), "the estimator has it, est.set_params({name}=...)"),
    },
    "an estimator's partial_fit": {
        **dict.fromkeys(
            ("validation", "validation_data", "val_data", "eval_set", "X_val", "y_val", "sample_weight_val"),
            "validation data are fit's, or look at est.score(X_val, y_val) between the calls",
        ),
        **dict.fromkeys(("epochs", "max_iter"), "a call is one epoch, call it several times"),
        "batch_size": "the estimator has it, est.set_params(batch_size={value})",
        **dict.fromkeys(("verbose", "progress", "callbacks"), "the estimator has it, est.set_params({name}=...)"),
    },
    "bpx.predict": {
        "batch_size": "rows are read in blocks, give buffer= in bytes",
    },
    "bpx.trace": {
        **dict.fromkeys(("lr", "eta"), "give learning_rate={value}"),
        "optimizer": "a step of gradient descent is shown, give learning_rate=",
    },
    "bpx.sweep": {
        **dict.fromkeys(("lr", "learning_rate"), "put it into the grid, {{'learning_rate': [...]}}"),
        **dict.fromkeys(("param_grid", "params", "param_distributions"), "give grid="),
        "n_jobs": "give workers={value}",
        "verbose": _PROGRESS,
        "estimator": "give model=",
    },
    "a grid": {
        **dict.fromkeys(("lr", "learning_rate_init", "eta"), "use 'learning_rate'"),
        **dict.fromkeys(("max_iter", "n_epochs", "num_epochs"), "use 'epochs'"),
        **dict.fromkeys(("alpha", "weight_penalty"), "use 'l2'"),
        "weight_decay": "use 'l2', or optimizer='adamw'",
    },
    "an estimator": {
        **dict.fromkeys(("lr", "eta", "step_size"), "give learning_rate_init={value}"),
        **dict.fromkeys(("epochs", "n_epochs", "num_epochs"), "give max_iter={value}"),
        **dict.fromkeys(("hidden", "sizes", "layers"), "give hidden_layer_sizes= and activation="),
        **dict.fromkeys(("l2", "weight_decay"), "give alpha={value}, which is divided by the batch's size"),
        **dict.fromkeys(("validation", "validation_split"), "give early_stopping=True, validation_fraction=0.1; or"
                        " fit(X, y, X_val=, y_val=)"),
        **dict.fromkeys(("stop", "patience"), "give early_stopping=True, n_iter_no_change=10"),
        "optimizer": "give solver={value}",
        "output": "give output_activation={value}",
        "seed": "give random_state={value}",
    },
    "net": {
        "fit": "use bpx.fit(net, X, y)",
        "train": "use bpx.fit(net, X, y); dropout is on in training alone",
        "eval": "there is nothing to switch, dropout is on in training alone",
        "compile": "give loss= and optimizer= to bpx.fit(net, X, y)",
        "partial_fit": "use bpx.fit(net, X, y, epochs=1), which goes on from the parameters there are",
        "predict": "use net(X), or bpx.predict(net, X) for a host array",
        "predict_proba": "use bpx.predict(net, X), which gives probabilities where the output is softmax or sigmoid",
        **dict.fromkeys(
            ("score", "evaluate"),
            "compare bpx.predict(net, X) with y, as in (bpx.predict(net, X).argmax(axis=1) == y).mean()",
        ),
        **dict.fromkeys(("state_dict", "get_weights", "parameters", "named_parameters"), "use net.params, or net.flat"),
        **dict.fromkeys(("load_state_dict", "set_weights", "load_weights"), "use net.set_params({{'0.W': ..., ...}})"),
        **dict.fromkeys(("cuda", "gpu"), "use net.to('cupy') or net.to('torch:cuda')"),
        **dict.fromkeys(("coefs_", "layers"), "use net.weights"),
        "intercepts_": "use net.biases",
        "backward": "use net.loss_and_grads(X, y)",
        "zero_grad": "there is nothing to set to 0; net.loss_and_grads(X, y) gives gradients",
        "summary": "use print(net)",
        "cpu": "use net.to('numpy')",
        "load": "use bpx.load(path)",
        "get_params": "use net.params",
        "device": "use net.backend.device",
    },
}  # fmt: skip
# What an argument that switches something off says: that it is off.
OFF: dict[str, dict[str, str]] = {
    "bpx.fit": {
        **dict.fromkeys(("verbose", "verbosity", "disp"), "leave it out, training is quiet by default"),
        **dict.fromkeys(("early_stopping", "patience", "n_iter_no_change"),
                        "leave it out, training stops early only by rules in stop="),
        **dict.fromkeys(("validation_split", "validation_fraction", "test_size", "validation_data", "val_data"),
                        "leave it out, rows are held out only by validation="),
        **dict.fromkeys(("clip_norm", "clipnorm", "grad_clip", "gradient_clip", "max_grad_norm"),
                        "leave it out, gradients are clipped only by an optimizer's clip_norm="),
    },
    "an optimizer": dict.fromkeys(("clipnorm", "max_norm", "max_grad_norm", "gradient_clip"),
                                  "leave it out, gradients are clipped only by clip_norm="),
    "bpx.sweep": {"verbose": "leave it out, a sweep is quiet by default"},
}  # fmt: skip
