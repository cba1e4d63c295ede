from ..detector import *  # noqa: F403
