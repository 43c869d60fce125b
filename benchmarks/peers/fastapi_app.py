"""FastAPI as its tutorial has it: an upload, a plain function, a session with its defaults."""

import sys

import uvicorn
from fastapi import FastAPI, UploadFile

from benchmarks.peers.common import Model

app = FastAPI()
model = Model(runtime_defaults=True)


@app.post("/predict")
def predict(file: UploadFile) -> dict[str, object]:
    """Classify one image in a thread of the pool."""
    pixels_1HWC = model.pixels(file.file.read())[None]
    return model.answer(model.embed(pixels_1HWC)[0])


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
