"""One member trained by AtomAI 0.8.1 itself, in a process of its own: `python atomai_member.py PACKAGES SET.npz STEPS SEED OUT.tar`.

PACKAGES is a folder that `benchmarks/versus_atomai.py --prepare` filled. Prints the seconds that the training took.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from atomai_packages import use


def main() -> None:
    packages, data, steps, seed, out = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5])
    use(packages)
    torch.set_num_threads(1)
    from atomai.models import Segmentor  # type: ignore[import-not-found]  # noqa: PLC0415

    with np.load(data) as arrays:
        sets = [arrays[name][:, None].astype(np.float32) for name in ("images", "masks", "test_images", "test_masks")]
    name = str(out.with_suffix(""))
    # Its EnsembleTrainer, asked for one member at a time, would give every one the same first weights and batches; what it does
    # before each member (`train_baseline`: seed, then Xavier weights, which Segmentor alone would not draw) is done here instead.
    model = Segmentor("Unet", nb_classes=1, seed=seed)
    model._reset_rng(seed)
    model._reset_weights()
    settings = {"training_cycles": steps, "batch_size": 32, "swa": True, "batch_seed": seed, "plot_training_history": False, "filename": name}
    with contextlib.redirect_stdout(io.StringIO()):
        began = time.perf_counter()
        model.fit(*sets, **settings)
        seconds = time.perf_counter() - began
    Path(name + "_metadict_final.tar").rename(out)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
