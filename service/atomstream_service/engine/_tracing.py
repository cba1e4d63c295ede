"""What a trace tells of a frame."""

from __future__ import annotations

from collections.abc import Callable

from ..traces import Attribute, Stage, Traces
from ._work import Finished


def frame_traces(traces: Traces) -> Callable[[Finished], None]:
    """A listener that makes a span of each published frame, with one under it for each of its stages."""

    def add(finished: Finished) -> None:
        job, report = finished.job, finished.report
        begun = job.t_recv - job.clock_recv
        stages = [Stage(name, begun + start, begun + end) for name, (start, end) in finished.stages.items()]
        attributes: dict[str, Attribute] = {
            "atomstream.source": report.source,
            "atomstream.session": report.session,
            "atomstream.seq": report.seq,
            "atomstream.channel": report.channel,
            "atomstream.rows": report.shape[0],
            "atomstream.columns": report.shape[1],
            "atomstream.ensemble": f"{report.ensemble.name} {report.ensemble.version}",
            "atomstream.generation": report.ensemble.generation,
            "atomstream.members_used": report.members_used,
            "atomstream.flags": report.flags,
            "atomstream.atoms": len(finished.answer.atoms),
        }
        traces.add(Stage("frame", job.t_recv, max(stage.end_s for stage in stages)), stages, attributes)

    return add
