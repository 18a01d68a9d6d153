"""What outlives the process: model files, and networks in the formats of other libraries.

``atomic`` writes a file whole or not at all. ``container`` puts a JSON header and named arrays into one file,
``safetensors_form`` and ``npz_form`` are its two forms, ``header`` its JSON. What is written is put into words by
``describe`` (activations, initializers, losses), ``networks``, and ``encode`` with its opposite ``decode`` (nested
plain data). ``model`` is `bpx.load`, and what ``net.save`` does; ``onnx_export`` and ``interop_*`` are the other
libraries' formats.
"""
