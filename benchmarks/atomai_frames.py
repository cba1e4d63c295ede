"""AtomAI 0.8.1 answering frames, in a process of its own: `python atomai_frames.py PACKAGES ENSEMBLE.tar FRAMES.npz MAPS.npz`.

For each line on standard input it answers a line of JSON. `frame K`: frame K of FRAMES through its EnsemblePredictor and Locator, with the seconds
that both took. `locate`: its Locator on the map in MAPS, with the seconds and the atoms' centres (rows, columns) without those near the border,
which it drops.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from atomai_packages import use


def main() -> None:
    use(Path(sys.argv[1]))
    from atomai.models import load_ensemble  # type: ignore[import-not-found]  # noqa: PLC0415
    from atomai.predictors import EnsemblePredictor, Locator  # type: ignore[import-not-found]  # noqa: PLC0415

    # Newer versions of torch refuse what AtomAI saved unless told otherwise.
    torch.load = functools.partial(torch.load, weights_only=False)
    with np.load(sys.argv[3]) as arrays:
        frames = arrays["images"].astype(np.float32)
    with np.load(sys.argv[4]) as arrays:
        maps = arrays["mean"]
    with contextlib.redirect_stdout(io.StringIO()):
        model, ensemble = load_ensemble(sys.argv[2])
        # Without being verbose it fails for want of an attribute.
        predictor = EnsemblePredictor(model, ensemble, nb_classes=model.px.out_channels, verbose=1)
    for line in sys.stdin:
        what, *number = line.split()
        with contextlib.redirect_stdout(io.StringIO()):
            began = time.perf_counter()
            mean = predictor.predict(frames[int(number[0])])[0] if what == "frame" else maps
            atoms = Locator(0.5).run(mean)[0]
            seconds = time.perf_counter() - began
        print(json.dumps({"seconds": seconds, "atoms": atoms[:, :2].tolist()}), flush=True)


if __name__ == "__main__":
    main()
