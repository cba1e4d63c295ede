from ...errors import InputError


class CheckpointRefused(InputError):
    """A checkpoint that is not read: it wants code to run, is damaged, too large, or holds no network that is known here."""
