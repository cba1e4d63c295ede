"""A service in memory, for the tests of programs that use the client: real sockets, answers of your own."""

import contextlib
import threading
from typing import Callable, Iterable, Iterator, Tuple

import zmq

from atomstream_wire import Frame, Result, decode_frame, encode_result


@contextlib.contextmanager
def answering(answer: Callable[[Frame], Iterable[Result]]) -> Iterator[Tuple[str, str]]:
    """Endpoints (frames, results) of a service on loopback that publishes `answer(frame)` for each frame.

    What `answer` raises is raised again when the context ends.
    """
    context: "zmq.Context[zmq.Socket[bytes]]" = zmq.Context()
    frames, results = context.socket(zmq.SUB), context.socket(zmq.PUB)
    frames.subscribe(b"")
    endpoints = tuple("tcp://127.0.0.1:{}".format(one.bind_to_random_port("tcp://127.0.0.1")) for one in (frames, results))
    stop = threading.Event()
    problems = []

    def run() -> None:
        try:
            while not stop.is_set():
                if frames.poll(20):
                    for result in answer(decode_frame(frames.recv_multipart())):
                        results.send_multipart(encode_result(result))
        except Exception as error:  # raised again below, where the test sees it
            problems.append(error)

    thread = threading.Thread(target=run, name="answering", daemon=True)
    thread.start()
    try:
        yield endpoints[0], endpoints[1]
    finally:
        stop.set()
        thread.join()
        context.destroy(linger=0)
    if problems:
        raise problems[0]
