"""The service's errors.

    AtomstreamError
    +-- ConfigError        settings that can't be used                (config)
    +-- AccessFileError    tokens or keys that can't be read or kept  (access)
    +-- AccessRefused      the service would be open to anybody       (access)
    +-- BadName            a name or lifetime that can't be used      (access)
    +-- UnknownKey         no token or key has this name              (access)
    +-- CurveUnusable      keys can't be checked here                 (transport)
    +-- EngineUnavailable  the engine does not answer                 (transport)
    +-- CommandRefused     the engine answered that it will not       (transport)
    +-- RequestRefused     the control plane will not, with a status  (control)

Frames and bundles have errors of their own: `atomstream_wire.WireError`, `atomstream_models.analysis.FrameRefused`
and `atomstream_models.bundle.BundleError`.
"""


class AtomstreamError(Exception):
    """Anything that Atomstream's service raises on purpose."""
