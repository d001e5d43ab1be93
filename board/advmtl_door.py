"""The part of advmtl that runs exported files: `export.session.open_session`, `export.stream.run`.

Training, and the library's functions (`advmtl.fit`), are in the distribution `advmtl`.
"""

from advmtl.version import __version__ as __version__
