"""The client's errors.

ClientError
+-- Closed              used after close()
+-- BadEndpoint         an address that can't be bound or connected
+-- BadKeys             keys or a certificate that are none; nothing was opened
+-- KeysRefused         the service does not let these keys in, or asks for keys
+-- BadFrame            a frame that breaks the schema; nothing was sent
+-- BadMessage          something came that is not a result
+-- ServiceUnreachable  nothing answers at the address
+-- RequestFailed       the service refused; status, code and detail say why
"""


class ClientError(Exception):
    """Anything that goes wrong in the client."""


class Closed(ClientError):
    """Used after `close()`."""


class BadEndpoint(ClientError):
    """An address that can't be bound or connected."""


class BadKeys(ClientError):
    """Keys, or a certificate, that can't be read or used."""


class KeysRefused(ClientError):
    """The other side turned the connection away: keys are missing, unknown to it, or made for another service."""


class BadFrame(ClientError):
    """A frame that breaks the wire schema; nothing was sent and seq did not count up."""


class BadMessage(ClientError):
    """A message came that is not a result of a version this client knows."""


class ServiceUnreachable(ClientError):
    """Nothing answers at the address."""


class RequestFailed(ClientError):
    """The service refused a request.

    status : HTTP status
    code : the reason in a word, stable for programs
    detail : the reason in a sentence
    """

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__("%d %s: %s" % (status, code, detail))
        self.status = status
        self.code = code
        self.detail = detail
