import zmq

from ._errors import BadEndpoint


def open_socket(socket: "zmq.Socket[bytes]", endpoint: str, attach: str) -> None:
    """Bind or connect a socket; BadEndpoint where that can't be done."""
    try:
        socket.setsockopt(zmq.IPV6, 1)
        if attach == "bind":
            socket.bind(endpoint)
        else:
            socket.connect(endpoint)
    except zmq.ZMQError as error:
        raise BadEndpoint("can't {} {!r}: {}".format(attach, endpoint, error)) from error
