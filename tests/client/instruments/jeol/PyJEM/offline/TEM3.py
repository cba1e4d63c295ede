from ..TEM3 import *  # noqa: F403
