"""Forms in which other programs run a model, one module each; ``reference`` compares each with the original.

onnx, onnxscript and onnxruntime are imported when an export needs them: a fork server need not hold them.
"""
