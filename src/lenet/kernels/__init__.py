"""The fused CPU engine: LeNet's arithmetic in Halide, compiled on the machine it runs on.

Importing anything from here loads Halide.

Raises
------
EngineError
    When Halide cannot be loaded.
"""

from lenet.errors import EngineError

try:
    import halide as halide
except ImportError as error:
    raise EngineError(
        f"the fused engine needs Halide, which cannot be loaded here ({error}); "
        "install halide>=21,<22, or use the torch engine"
    ) from None
