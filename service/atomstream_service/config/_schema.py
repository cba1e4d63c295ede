from __future__ import annotations

import json

from ._tree import Config


def config_schema() -> str:
    """The JSON Schema of the settings, as committed in `docs/config.schema.json`."""
    return json.dumps(Config.model_json_schema(), indent=2, sort_keys=True) + "\n"
