"""The command ``bpx``: one module for each subcommand, `train`, `predict`, `info`, `check`, `trace` and `bench`.

``parser`` builds the options, ``main`` turns errors into exit codes, ``output`` writes to stdout and stderr.
``backend_option`` finds the backend that the user asked for, ``kernel_choice`` the kernels that compute. `train` and
`predict` share ``table_input`` (reading the table), ``columns`` (which columns are used), ``target`` (what is learned),
``table_model`` (the encoding, target and scale in a model file) and ``scores``.
"""

from bpx.cli.main import main

__all__ = ["main"]
