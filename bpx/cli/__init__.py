"""The command ``bpx``: one module for each subcommand, `train`, `predict`, `info`, `check`, `trace` and `bench`.

``parser`` builds the options, ``main`` turns errors into exit codes, ``output`` is stdout and stderr, `backend_option`
the backend that is asked for, ``kernels`` the kernels that compute. `train` and `predict` share ``data`` (the table's
file), ``columns`` (which columns are used), ``target`` (what is learned), ``table_model`` (what a model file says
besides the network) and ``scores``.
"""

from bpx.cli.main import main

__all__ = ["main"]
