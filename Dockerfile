# Three images from one file: `service` (the last stage, the default) and `evaluation` have no torch; `trainer` has.
# They share the user and the place of the models, so that a volume filled by one is read by the other.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:$PATH
RUN useradd --uid 10001 --create-home mmoe && install -d -o mmoe /models /models-cache /predictions /labels /quality /loops
WORKDIR /app


# deploy/requirements/ is made by `make lock`: every package by version and hash, and nothing that would be built here.
FROM base AS service-packages
# EXTRA=otel brings what sends traces, EXTRA=stores what copies models from an object store, EXTRA="otel stores" both.
ARG EXTRA
COPY deploy/requirements/service.txt deploy/requirements/grpc.txt deploy/requirements/otel.txt deploy/requirements/stores.txt requirements/
RUN python3 -m venv /opt/venv
# What the service never imports goes out again: pip, headers, tests, tools for preparing models.
RUN pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/service.txt -r requirements/grpc.txt $(for extra in $EXTRA; do echo "-r requirements/$extra.txt"; done) \
 && pip uninstall -q -y pip setuptools \
 && cd /opt/venv/lib/python3*/site-packages \
 && rm -rf numpy/*/tests numpy/tests numpy/_core/include numpy/f2py onnxruntime/tools onnxruntime/transformers \
      onnxruntime/quantization onnxruntime/datasets


FROM base AS trainer-packages
# A second place where pip looks for packages, such as PyTorch's index of CPU builds: see docs/deploy.md.
ARG PIP_EXTRA_INDEX_URL
# EXTRA=stores brings what reads tables from object stores, and publishes there.
ARG EXTRA
COPY deploy/requirements/service.txt deploy/requirements/trainer.txt deploy/requirements/evaluate.txt deploy/requirements/stores.txt requirements/
RUN python3 -m venv /opt/venv
# The loop trains, and reads labels as the evaluation does.
RUN pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/service.txt -r requirements/trainer.txt -r requirements/evaluate.txt $(for extra in $EXTRA; do echo "-r requirements/$extra.txt"; done)
# torch alone comes without hashes, with the packages of CUDA that it pins: its builds differ by index.
COPY deploy/requirements/torch.txt requirements/
RUN pip install --no-cache-dir -r requirements/torch.txt


FROM base AS trainer
COPY --from=trainer-packages /opt/venv /opt/venv
COPY stores stores
COPY tables tables
COPY metrics metrics
COPY model model
COPY service service
COPY batch batch
COPY loop loop
COPY scripts scripts
USER mmoe
ENV MPLCONFIGDIR=/tmp/matplotlib
ENTRYPOINT ["python", "-m", "scripts.train"]
CMD ["--help"]


FROM base AS evaluation-packages
COPY deploy/requirements/service.txt deploy/requirements/trainer.txt deploy/requirements/evaluate.txt requirements/
RUN python3 -m venv /opt/venv
# The trainer's packages but for torch.
RUN pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/service.txt -r requirements/trainer.txt -r requirements/evaluate.txt


FROM base AS evaluation
COPY --from=evaluation-packages /opt/venv /opt/venv
COPY stores stores
COPY tables tables
COPY metrics metrics
COPY service service
COPY batch batch
COPY scripts scripts
USER mmoe
ENV MPLCONFIGDIR=/tmp/matplotlib
VOLUME /quality
ENTRYPOINT ["python", "-m", "scripts.evaluate"]
CMD ["--help"]


FROM base AS service
COPY --from=service-packages /opt/venv /opt/venv
COPY stores stores
COPY service service
RUN python -m compileall -q service stores
USER mmoe
ENV MMOE_MODELS=/models MMOE_MODELS_CACHE=/models-cache MMOE_HOST=0.0.0.0 MMOE_PORT=8000 ORT_DISABLE_TELEMETRY=1
EXPOSE 8000 9000
VOLUME /models
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['MMOE_PORT']}/health/ready\", timeout=2)"]
ENTRYPOINT ["python", "-m", "service"]
