import zmq

from ._errors import BadEndpoint


def open_socket(socket: "zmq.Socket[bytes]", endpoint: str, attach: str) -> None:
    """Bind or connect a socket; BadEndpoint where that can't be done, and the socket is closed."""
    try:
        socket.setsockopt(zmq.IPV6, 1)
        if attach == "bind":
            socket.bind(endpoint)
        else:
            socket.connect(endpoint)
    except zmq.ZMQError as error:
        socket.close(linger=0)
        raise BadEndpoint("can't {} {!r}: {}".format(attach, endpoint, error)) from error
