#!/usr/bin/env python3
"""Exit code 0 once the service in this container is ready: its ensemble is active and warm."""

import os
import ssl
import sys
import urllib.request

URL = os.environ.get("READY_URL", "http://127.0.0.1:8000/readyz")
"""With `tls_cert` set: https://127.0.0.1:8000/readyz. Its name is no setting's: the service refuses a variable ATOMSTREAM_... that it does not know."""


def main() -> int:
    """Ask once."""
    # The certificate is made for the machine's name, and this asks by the loopback address.
    context = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(URL, timeout=4, context=context) as answer:
            return 0 if answer.status == 200 else 1
    except OSError as error:
        print(f"{URL}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
