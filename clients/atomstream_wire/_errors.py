from typing import Any, Mapping, Optional


class WireError(ValueError):
    """A message that does not follow its schema.

    code : short name of the rule that was broken: `part_count`, `bad_json`, `unknown_schema`, `missing_key`,
        `bad_value`, `topic_mismatch`, `bad_dtype`, `bad_shape`, `byte_count` or `too_large`; for other makers' formats also
        `bad_cbor` or `bad_msgpack`
    header : as much of the message's header as could be read, so that an answer can name session and seq
    """

    def __init__(self, code: str, message: str, header: Optional[Mapping[str, Any]] = None) -> None:
        super().__init__(message)
        self.code = code
        self.header: Mapping[str, Any] = header or {}
