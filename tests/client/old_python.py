"""Run by `test_old_pythons.py` under old interpreters: sends a frame to a real service and reads its atoms."""

import sys
import time

import numpy as np

from atomstream_client import Atoms, ControlClient, FramePublisher, ResultSubscriber
from atomstream_client.steering import SpecimenDrift, doubts

frames, results, url = sys.argv[1:4]
assert not {"pydantic", "onnx", "cv2", "scipy"} & set(sys.modules)
with FramePublisher("old/python", frames) as publisher, ResultSubscriber(results, kinds=("atoms",), source="old/python") as subscriber:
    assert publisher.wait_for_reader(10)
    time.sleep(0.3)
    assert publisher.publish(np.random.RandomState(0).randint(0, 900, (128, 160)).astype(">u2"), pixel_size=(0.0104, 0.0104))
    answer = subscriber.receive(30)
assert isinstance(answer, Atoms), answer
assert answer.report.shape == (128, 160)
assert len(doubts(answer, 0.02)) == len(answer.atoms)
drift, sites = SpecimenDrift(1.0), np.mgrid[:6, :6].reshape(2, -1).T
for k in range(3):
    drift.add(float(k), sites + np.array([0.1 * k, 0.0]))
assert np.allclose(drift.at(4.0), [0.4, 0.0])
control = ControlClient(url, actor="old python")
generation = control.set_member("m00", "disabled", "from an old Python")
assert control.set_member("m00", "enabled") > generation
assert len(control.infer(np.zeros((64, 64), np.float32)).atoms) == 0
print("python", ".".join(map(str, sys.version_info[:2])), "numpy", np.__version__, "answered", answer.report.seq)
