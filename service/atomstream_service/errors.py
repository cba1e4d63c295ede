"""The service's errors.

    AtomstreamError
    +-- ConfigError        settings that can't be used                (config)
    +-- EngineUnavailable  the engine does not answer                 (transport)
    +-- CommandRefused     the engine answered that it will not       (transport)
    +-- RequestRefused     the control plane will not, with a status  (control)
    +-- RefinementRefused  a refinement can't do that as it stands    (refinements)
    |   +-- RefinementBusy      too many wait, or are kept
    +-- RefinementUnknown  there is none of that id                   (refinements)

Frames and bundles have errors of their own: `atomstream_wire.WireError`, `atomstream_models.analysis.FrameRefused`
and `atomstream_models.bundle.BundleError`.
"""


class AtomstreamError(Exception):
    """Anything that Atomstream's service raises on purpose."""
