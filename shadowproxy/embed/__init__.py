"""Text to vectors.

``loading`` picks the backend, ``windows`` cuts long texts and pools, ``onnx`` and ``sentence_transformers`` run models, ``service``
keeps them off the event loop. Under ``onnx``: ``wordpiece`` reads texts for the packaged model, ``library_tokenizer`` for others;
``minilm`` writes the packaged model as a graph in int8, ``onnx_graph`` is how one is written, ``onnx_session`` how one is run,
``huge_pages`` where its weights lie.
"""
