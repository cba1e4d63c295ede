"""The service's errors.

    AtomstreamError
    +-- ConfigError        settings that can't be used                (config)
    +-- TracesUnavailable  OpenTelemetry is not installed             (traces)
    +-- AccessFileError    tokens or keys that can't be read or kept  (access)
    +-- AccessRefused      the service would be open to anybody       (access)
    +-- BadName            a name or lifetime that can't be used      (access)
    +-- UnknownKey         no token or key has this name              (access)
    +-- CurveUnusable      keys can't be checked here                 (transport)
    +-- EngineUnavailable  the engine does not answer                 (transport)
    +-- CommandRefused     the engine answered that it will not       (transport)
    +-- RecordingFailed    a file that can't be written any more      (record)
    +-- RecordingRefused   a recording that can't be had              (record)
    +-- RequestRefused     the control plane will not, with a status  (control)
    +-- RegistryError      the registry will not, or can't            (registry)
    |   +-- NotRegistered       no bundle of that name and version
    |   +-- VersionTaken        another bundle has that name and version
    |   +-- BundleRefused       a bundle failed a check; it has the stager's report
    |   +-- UploadTooLarge      more bytes than allowed
    |   +-- NoRoom              the disk is full
    +-- RefinementRefused  a refinement can't do that as it stands    (refinements)
    |   +-- RefinementBusy      too many wait, or are kept
    +-- RefinementUnknown  there is none of that id                   (refinements)

Frames and bundles have errors of their own: `atomstream_wire.WireError`, `atomstream_models.analysis.FrameRefused`
and `atomstream_models.bundle.BundleError`.
"""


class AtomstreamError(Exception):
    """Anything that Atomstream's service raises on purpose."""
