"""Files: models, checkpoints, and the formats of other libraries.

``atomic`` writes a file whole or not at all. ``container`` puts a JSON header (``header``) and named arrays into one
file, in one of two forms, ``safetensors_form`` and ``npz_form``. JSON and arrays come from ``function_json``
(activations, initializers, losses), from ``network_json``, and from ``nested_encoder`` with its inverse
``nested_decoder`` (nested plain data). ``model`` reads and writes models (`bpx.load`, ``net.save``), ``checkpoint`` the
state from which `bpx.fit` resumes. ``onnx_export`` and ``interop_*`` are for other libraries; ``exportable`` is what
they share.
"""
