"""What outlives the process: model files, checkpoints, and networks in the formats of other libraries.

``atomic`` writes a file whole or not at all. ``container`` puts a JSON header (``header``) and named arrays into one
file of two forms, ``safetensors_form`` and ``npz_form``. What is written becomes JSON and arrays in ``function_json``
(activations, initializers, losses), ``network_json``, and ``encode`` with its opposite ``decode`` (nested plain data).
``model`` is `bpx.load`, and what ``net.save`` does; ``checkpoint`` is what `bpx.fit` goes on from. ``onnx_export`` and
``interop_*`` are the other libraries' formats; ``exportable`` is what they share.
"""
