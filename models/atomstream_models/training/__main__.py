"""Train the first shipped ensemble: `python -m atomstream_models.training MEMBERS --bundle FOLDER [--jobs N]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ._config import FirstEnsemble
from ._ensemble import train_ensemble
from ._pack import pack_first_ensemble


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("members_folder", type=Path, help="where trained members are kept; those there already are not trained again")
    parser.add_argument("--bundle", type=Path, required=True, help="folder to write the bundle to")
    parser.add_argument("--name", default="graphene")
    parser.add_argument("--version", default="1")
    parser.add_argument("--jobs", type=int, default=1, help="members trained at once, one thread each")
    parser.add_argument("--members", type=int, default=FirstEnsemble.members)
    parser.add_argument("--steps", type=int, default=FirstEnsemble.steps)
    given = parser.parse_args()
    config = FirstEnsemble(members=given.members, steps=given.steps)
    for path in train_ensemble(config, given.members_folder, given.jobs):
        print(f"{path} done", flush=True)
    card = pack_first_ensemble(config, given.members_folder, given.bundle, given.name, given.version)
    print(f"{given.bundle}: threshold {card.threshold}, validation F1 {card.training['validation_f1']}")


if __name__ == "__main__":
    main()
