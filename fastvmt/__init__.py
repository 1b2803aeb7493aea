"""FastVMT bench: the benchmark that video motion transfer is judged by.

    import fastvmt
    result = fastvmt.run(fastvmt.Request(methods=("fastvmt", "ditflow")))

In a checkout, ``methods/``, ``metrics/``, ``datasets/`` and ``reports/`` lie beside this folder, which links to them; in a
wheel they lie inside it. They are imported as ``fastvmt.methods`` and so on in both.
"""

import lazy_loader

from fastvmt.core.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = sorted([*__all__, "__version__"])
