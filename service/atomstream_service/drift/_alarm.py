"""An alarm that stays until somebody has seen it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Alarm:
    """Latched when its condition comes true, released by an acknowledgement alone.

    since : seq of the frame that raised it, None where it is not raised
    signal : what raised it
    armed : False after an acknowledgement while the condition still holds, so that the same thing is not told twice
    over : whether the condition has ended since
    """

    since: int | None = None
    signal: str = ""
    armed: bool = True
    over: bool = False

    def see(self, seq: int, signal: str | None, back: bool) -> bool | None:
        """Take one frame: True where it raises the alarm, False where the condition ends, None where nothing changes.

        signal : what is beyond its bounds, None where nothing is
        back : whether everything is well within them
        """
        if self.since is None:
            if signal is not None and self.armed:
                self.since, self.signal, self.over = seq, signal, False
                return True
            self.armed = self.armed or back
            return None
        if signal is not None:
            self.over = False
        elif back and not self.over:
            self.over = True
            return False
        return None

    def acknowledge(self) -> bool:
        """Release the alarm; whether there was one."""
        was = self.since is not None
        self.armed = not was or self.over
        self.since, self.signal, self.over = None, "", False
        return was
