"""The service's errors.

    AtomstreamError
    +-- ConfigError        settings that can't be used                (config)
    +-- TracesUnavailable  OpenTelemetry is not installed             (traces)
    +-- EngineUnavailable  the engine does not answer                 (transport)
    +-- CommandRefused     the engine answered that it will not       (transport)
    +-- RequestRefused     the control plane will not, with a status  (control)

Frames and bundles have errors of their own: `atomstream_wire.WireError`, `atomstream_models.analysis.FrameRefused`
and `atomstream_models.bundle.BundleError`.
"""


class AtomstreamError(Exception):
    """Anything that Atomstream's service raises on purpose."""
