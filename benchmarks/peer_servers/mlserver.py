"""MLServer: a runtime of one's own with its adaptive batching, over gRPC.

Tensors of numbers become lists of Python's numbers there, which takes longer than the model; so latents and images
travel as tensors of bytes, an element a row.
"""

from __future__ import annotations

import asyncio

from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from peer_servers.model import Model, arguments

MAX_REQUESTS = 64
MAX_WAIT_S = 0.001


class Generator(MLModel):
    """Takes a BYTES tensor of latents and gives one of images."""

    model: Model

    async def load(self) -> bool:
        self.model = Model(self.settings.parameters.uri, num_threads=1)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        return await asyncio.to_thread(self._answer, payload)

    def _answer(self, payload: InferenceRequest) -> InferenceResponse:
        latents = self.model.rows_of(b"".join(payload.inputs[0].data.root))
        rows = [image.tobytes() for image in self.model(latents)]
        output = ResponseOutput(name="images", shape=[len(rows)], datatype="BYTES", data=rows)
        return InferenceResponse(id=payload.id, model_name=self.name, outputs=[output])


async def main() -> None:
    path, port = arguments()
    settings = Settings(
        debug=False,
        host="127.0.0.1",
        http_port=port + 1,
        grpc_port=port,
        metrics_endpoint=None,
        parallel_workers=0,
        grpc_max_message_length=2**30,
        load_models_at_startup=False,
    )
    model = ModelSettings(
        name="generator",
        implementation=Generator,
        max_batch_size=MAX_REQUESTS,
        max_batch_time=MAX_WAIT_S,
        parameters=ModelParameters(uri=path),
    )
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(main())
