class BundleError(ValueError):
    """A bundle that can't be used.

    check : which check failed: `archive`, `card`, `checksum`, `member`, `golden` or `acceptance`
    """

    def __init__(self, check: str, message: str) -> None:
        super().__init__(message)
        self.check = check
