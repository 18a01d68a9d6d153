"""Names that other libraries have for arguments, methods, losses, activations, ..., and what to write in bpx."""

from __future__ import annotations

Hints = dict[str, dict[str, str]]


def _by_name(hints: Hints) -> Hints:
    """Turn {owner: {hint: "name name ..."}}, as written below, into {owner: {name: hint}}."""
    return {
        owner: {name: hint for hint, names in those.items() for name in names.split()} for owner, those in hints.items()
    }


# What to write in place of an argument or attribute of other libraries; the keys are public names of functions.
INSTEAD: Hints = _by_name({
    "bpx.fit": {
        "give optimizer=bpx.{optimizer}({value})": "learning_rate lr learning_rate_init eta step_size",
        "give epochs={value}": "max_iter n_epochs num_epochs nb_epoch n_iter max_epochs iters",
        "give stop=bpx.stop.Patience(patience=10), with validation=0.2 or (X_val, y_val)":
            "early_stopping patience n_iter_no_change",
        "give validation=(X_val, y_val)": "validation_data val_data eval_set X_val y_val X_test y_test",
        "give validation={value}": "validation_split validation_fraction test_size",
        "it belongs to the network, bpx.MLP(sizes, {name}={value})": "dropout dtype hidden output init stack",
        "it belongs to the network, bpx.MLP(sizes, hidden={value})": "activation activations hidden_activation act",
        "it belongs to the network, bpx.MLP(sizes, output={value})": "output_activation out_activation",
        "it belongs to the network, bpx.MLP([inputs, hidden units of each layer, ..., outputs])":
            "hidden_layer_sizes hidden_sizes layers sizes units",
        "the network has it, bpx.MLP(sizes, backend={value}); there are 'numpy', 'cupy', 'torch:cuda' and more":
            "device backend",
        "give progress=True": "verbose verbosity disp",
        "give loss={value}": "criterion loss_fn loss_function objective cost",
        "a schedule is an optimizer's learning rate, optimizer=bpx.Adam(bpx.schedules.Cosine(0.001, length=20))":
            "scheduler lr_scheduler schedule lr_schedule",
        "give optimizer=bpx.{optimizer}(clip_norm={value})": "clip_norm clipnorm grad_clip gradient_clip max_grad_norm",
        "give l2={value}": "alpha reg regularization weight_penalty",
        "give seed={value}": "random_state random_seed",
        "give optimizer=bpx.SGD(learning_rate=0.01, momentum={value})": "momentum",
        "give optimizer=bpx.AdamW(weight_decay={value}), or l2= for a penalty in the loss": "weight_decay",
        "give sampling={value}": "shuffle",
        "give optimizer={value}": "solver",
        "give sample_weight=": "weights",
        "threads are BLAS's, OPENBLAS_NUM_THREADS in the environment; processes are comm='mpi'": "n_jobs",
        "give callbacks=[...]": "callback",
    },
    "bpx.MLP": {
        "give sizes=[inputs, hidden units of each layer, ..., outputs], such as bpx.MLP([4, 100, 3])":
            "hidden_layer_sizes hidden_sizes hidden_size n_hidden input_size input_dim output_size in_features "
            "out_features n_in n_out layers layer_sizes units",
        "give hidden={value}": "activation activations hidden_activation act",
        "give output={value}": "output_activation out_activation",
        "it belongs to training, bpx.fit(net, X, y, ...)":
            "learning_rate lr optimizer solver loss epochs max_iter batch_size momentum l2 alpha weight_decay "
            "early_stopping callbacks verbose learning_rate_init",
        "give init={value}": "initializer kernel_initializer weight_init init_method",
        "give seed={value}": "random_state random_seed",
        "give backend={value}; there are 'numpy', 'cupy', 'torch:cuda' and more": "device",
        "give bias={value}": "use_bias",
        "give stack={value}": "n_networks",
    },
    "an optimizer": {
        "give learning_rate={value}": "lr learning_rate_init eta step_size",
        "give clip_norm={value}": "clipnorm max_norm max_grad_norm gradient_clip",
        "a schedule is the learning rate, learning_rate=bpx.schedules.StepDecay(0.01)":
            "decay lr_decay scheduler schedule",
        "give beta_1= and beta_2=": "betas",
        "give epsilon={value}": "eps",
        "use bpx.AdamW(weight_decay={value}), or l2= of bpx.fit": "weight_decay",
        "use bpx.SGD(momentum={value})": "momentum",
        "give rho={value} | give weight_decay={value} | a penalty on weights is l2={value} of bpx.fit, or "
        "weight_decay= of bpx.AdamW":
            "alpha",
        "bpx.fit gives it the parameters": "params",
    },
    "a schedule": {
        "give initial={value}": "lr learning_rate learning_rate_init base_lr",
        "give length={value}": "T_max decay_steps total_steps epochs",
        "give minimum={value}": "eta_min min_lr end_learning_rate",
        "give every={value}": "step_size",
        "give factor={value}": "gamma decay_rate",
    },
    "a stopping rule": {
        "give monitor={value}": "metric",
        "give patience={value}": "n_iter_no_change epochs",
        "give min_delta={value}": "tol",
        "give restore_best={value}": "restore_best_weights",
    },
    "an estimator's fit": {
        "give X_val= and y_val=": "validation validation_data val_data eval_set",
        "the estimator has it, est.set_params(max_iter={value})": "epochs max_iter",
        "the estimator has it, est.set_params(batch_size={value})": "batch_size",
        "the estimator has it, est.set_params({name}=...)": "verbose progress callbacks",
    },
    "an estimator's partial_fit": {
        "validation data are fit's, or look at est.score(X_val, y_val) between the calls":
            "validation validation_data val_data eval_set X_val y_val sample_weight_val",
        "a call is one epoch, call it several times": "epochs max_iter",
        "the estimator has it, est.set_params(batch_size={value})": "batch_size",
        "the estimator has it, est.set_params({name}=...)": "verbose progress callbacks",
    },
    "bpx.predict": {
        "rows are read in blocks, give buffer= in bytes": "batch_size",
    },
    "bpx.trace": {
        "give learning_rate={value}": "lr eta",
        "a step of gradient descent is shown, give learning_rate=": "optimizer",
    },
    "bpx.sweep": {
        "put it into the grid, {{'learning_rate': [...]}}": "lr learning_rate",
        "give grid=": "param_grid params param_distributions",
        "give workers={value}": "n_jobs",
        "give progress=True": "verbose",
        "give model=": "estimator",
    },
    "a grid": {
        "use 'learning_rate'": "lr learning_rate_init eta",
        "use 'epochs'": "max_iter n_epochs num_epochs",
        "use 'l2'": "alpha weight_penalty",
        "use 'l2', or optimizer='adamw'": "weight_decay",
    },
    "an estimator": {
        "give learning_rate_init={value}": "lr eta step_size",
        "give max_iter={value}": "epochs n_epochs num_epochs",
        "give hidden_layer_sizes= and activation=": "hidden sizes layers",
        "give alpha={value}, which is divided by the batch's size": "l2 weight_decay",
        "give early_stopping=True, validation_fraction=0.1; or fit(X, y, X_val=, y_val=)":
            "validation validation_split",
        "give early_stopping=True, n_iter_no_change=10": "stop patience",
        "give solver={value}": "optimizer",
        "give output_activation={value}": "output",
        "give random_state={value}": "seed",
    },
    "net": {
        "use bpx.fit(net, X, y)": "fit",
        "use bpx.fit(net, X, y); dropout is on in training alone": "train",
        "there is nothing to switch, dropout is on in training alone": "eval",
        "give loss= and optimizer= to bpx.fit(net, X, y)": "compile",
        "use bpx.fit(net, X, y, epochs=1), which goes on from the parameters there are": "partial_fit",
        "use net(X), or bpx.predict(net, X) for a host array": "predict",
        "use bpx.predict(net, X), which gives probabilities where the output is softmax or sigmoid": "predict_proba",
        "compare bpx.predict(net, X) with y, as in (bpx.predict(net, X).argmax(axis=1) == y).mean()": "score evaluate",
        "use net.params, or net.flat": "state_dict get_weights parameters named_parameters",
        "use net.set_params({{'0.W': ..., ...}})": "load_state_dict set_weights load_weights",
        "use net.to('cupy') or net.to('torch:cuda')": "cuda gpu",
        "use net.weights": "coefs_ layers",
        "use net.biases": "intercepts_",
        "use net.loss_and_grads(X, y)": "backward",
        "there is nothing to set to 0; net.loss_and_grads(X, y) gives gradients": "zero_grad",
        "use print(net)": "summary",
        "use net.to('numpy')": "cpu",
        "use bpx.load(path)": "load",
        "use net.params": "get_params",
        "use net.backend.device": "device",
    },
})  # fmt: skip
# The hint for an argument that switches something off which is off by default.
OFF: Hints = _by_name({
    "bpx.fit": {
        "leave it out, training is quiet by default": "verbose verbosity disp",
        "leave it out, training stops early only by rules in stop=": "early_stopping patience n_iter_no_change",
        "leave it out, rows are held out only by validation=":
            "validation_split validation_fraction test_size validation_data val_data",
        "leave it out, gradients are clipped only by an optimizer's clip_norm=":
            "clip_norm clipnorm grad_clip gradient_clip max_grad_norm",
    },
    "an optimizer": {
        "leave it out, gradients are clipped only by clip_norm=": "clipnorm max_norm max_grad_norm gradient_clip",
    },
    "bpx.sweep": {
        "leave it out, a sweep is quiet by default": "verbose",
    },
})  # fmt: skip
# For each kind of value bpx's names, and those of other libraries; capitals, "_", "-" and a final "loss" are ignored.
VALUES: Hints = {
    "loss": {
        "squared_error": "mse mean_squared_error l2 quadratic least_squares ls",
        "absolute_error": "mae mean_absolute_error l1 lad", "huber": "smooth_l1", "quantile": "pinball",
        "binary_cross_entropy": "bce bce_with_logits logistic binary_logistic binary",
        "cross_entropy": "nll ce categorical_cross_entropy sparse_categorical_cross_entropy log_loss "
            "log negative_log_likelihood softmax_cross_entropy softmax",
        "poisson": "poisson_nll poisson_deviance",
    },
    "activation": {
        "identity": "linear none purelin", "sigmoid": "expit sigm logsig", "logistic": "",
        "tanh": "tansig hyperbolic_tangent", "relu": "rectifier rectified_linear", "leaky_relu": "lrelu", "elu": "",
        "selu": "", "softplus": "", "silu": "swish", "mish": "", "gelu": "", "softmax": "log_softmax",
        "exp": "exponential", "step": "heaviside threshold hardlim",
    },
    "optimizer": {
        "sgd": "gd gradient_descent momentum nesterov nag", "rmsprop": "", "adagrad": "", "adam": "", "adamw": "",
        "cg": "conjugate_gradient", "bfgs": "", "lbfgs": "l_bfgs", "l-bfgs-b": "", "newton-cg": "newton", "tnc": "",
        "slsqp": "", "trust-constr": "",
    },
    "metric": {
        "accuracy": "acc accuracy_score categorical_accuracy binary_accuracy sparse_categorical_accuracy",
        "balanced_accuracy": "balanced_accuracy_score", "auc": "roc_auc roc_auc_score auroc",
        "log_loss": "nll ce cross_entropy neg_log_loss", "r2": "r2_score r_squared",
        "mae": "mean_absolute_error neg_mean_absolute_error l1",
        "rmse": "root_mean_squared_error neg_root_mean_squared_error mse mean_squared_error",
    },
    "initializer": {
        "glorot_uniform": "xavier xavier_uniform glorot", "glorot_normal": "xavier_normal",
        "he_uniform": "kaiming kaiming_uniform he", "he_normal": "kaiming_normal", "lecun_uniform": "lecun",
        "lecun_normal": "", "zeros": "zero",
    },
    "backend": {
        "numpy": "cpu np", "cupy": "cuda gpu cp", "torch": "pytorch", "auto": "", "torch:cuda": "", "torch:cpu": "",
        "torch:mps": "mps",
    },
    "dtype": {
        "float32": "float single f4", "float64": "double f8",
    },
    "sampling": {
        "shuffle": "random true", "sequential": "false", "replacement": "bootstrap",
    },
}  # fmt: skip
