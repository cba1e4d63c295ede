"""The service's settings: one typed tree, read once, passed down."""

from ._example import config_example
from ._load import ConfigError, load_config
from ._schema import config_schema
from ._tree import Config, Format, FramesEndpoint, Policy, TrackSettings, is_loopback

__all__ = ["Config", "ConfigError", "Format", "FramesEndpoint", "Policy", "TrackSettings", "config_example", "config_schema", "is_loopback", "load_config"]
