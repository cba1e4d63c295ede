"""Who may do what: tokens with roles for HTTP, keys for ZeroMQ, and the rule that nothing is open beyond this machine without either."""

from ._caller import Caller
from ._curve_folder import CurveFolder, KeyPair
from ._files import AccessFileError, write_private
from ._gatekeeper import WEBSOCKET_PROTOCOL, Access, Gatekeeper, bearer_token, same_origin
from ._listening import AccessRefused, check_listening
from ._names import BadName, checked_name, lifetime
from ._roles import Role
from ._rules import ADMIN, OPEN, OPERATOR, RULES, VIEWER, Body, Rule, Rules, body_limits
from ._throttle import Throttle
from ._token_file import TokenFile, UnknownKey
from ._tokens import Denied, TokenRecord

__all__ = [
    "ADMIN",
    "OPEN",
    "OPERATOR",
    "RULES",
    "VIEWER",
    "WEBSOCKET_PROTOCOL",
    "Access",
    "AccessFileError",
    "AccessRefused",
    "BadName",
    "Body",
    "Caller",
    "CurveFolder",
    "Denied",
    "Gatekeeper",
    "KeyPair",
    "Role",
    "Rule",
    "Rules",
    "Throttle",
    "TokenFile",
    "TokenRecord",
    "UnknownKey",
    "bearer_token",
    "body_limits",
    "check_listening",
    "checked_name",
    "lifetime",
    "same_origin",
    "write_private",
]
