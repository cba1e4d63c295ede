from ..errors import AtomstreamError


class RefinementRefused(AtomstreamError):
    """What is asked of a refinement does not go together with the state it is in."""


class RefinementBusy(RefinementRefused):
    """Too many refinements wait already, or are kept on disk."""


class RefinementUnknown(AtomstreamError):
    """There is no refinement of that id."""
