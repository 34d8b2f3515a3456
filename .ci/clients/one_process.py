"""Has a package of another maker register its messages beside the server's: python one_process.py PACKAGE FIRST."""

from __future__ import annotations

import importlib
import sys

OURS = "ganserve.serving.open_inference.inference_pb2"
THEIRS = {
    "tritonclient": "tritonclient.grpc.service_pb2",
    "kserve": "kserve.protocol.grpc.grpc_predict_v2_pb2",
    "mlserver": "mlserver.grpc.dataplane_pb2",
}

package, first = sys.argv[1:]
order = (OURS, THEIRS[package]) if first == "ours" else (THEIRS[package], OURS)
modules = {name: importlib.import_module(name) for name in order}
request = modules[THEIRS[package]].ModelInferRequest(model_name="digits", raw_input_contents=[b"1234"])
ours = modules[OURS].ModelInferRequest.FromString(request.SerializeToString())
assert (ours.model_name, list(ours.raw_input_contents)) == ("digits", [b"1234"]), ours
assert type(ours) is not type(request)
