"""Text to vectors.

``loading`` picks the backend, ``windows`` cuts long texts and pools, ``onnx`` and ``sentence_transformers`` run models, ``service``
keeps them off the event loop.
"""
