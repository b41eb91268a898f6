# Two images from one file: `service` (the last stage, the default) has no torch; `trainer` has.
# They share the user and the place of the models, so that a volume filled by one is read by the other.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:$PATH
RUN useradd --uid 10001 --create-home mmoe && install -d -o mmoe /models
WORKDIR /app


FROM base AS service-packages
COPY pyproject.toml constraints.txt ./
RUN python3 -m venv /opt/venv
# Only what the service imports goes in: the dependencies, without the project, pip, tests and headers.
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > base.txt \
 && pip install --no-cache-dir -c constraints.txt -r base.txt \
 && pip uninstall -q -y pip setuptools \
 && cd /opt/venv/lib/python3*/site-packages \
 && rm -rf numpy/*/tests numpy/tests numpy/_core/include numpy/f2py onnxruntime/tools onnxruntime/transformers \
      onnxruntime/quantization onnxruntime/datasets


FROM base AS trainer-packages
# A second place where pip looks for packages, such as PyTorch's index of CPU builds: see README, "Docker".
ARG PIP_EXTRA_INDEX_URL
COPY pyproject.toml constraints.txt ./
RUN python3 -m venv /opt/venv
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*p['dependencies'], *p['optional-dependencies']['train'], sep='\n')" > train.txt \
 && pip install --no-cache-dir -c constraints.txt -r train.txt


FROM base AS trainer
COPY --from=trainer-packages /opt/venv /opt/venv
COPY model model
COPY scripts scripts
USER mmoe
ENV MPLCONFIGDIR=/tmp/matplotlib
ENTRYPOINT ["python", "-m", "scripts.train"]
CMD ["--help"]


FROM base AS service
COPY --from=service-packages /opt/venv /opt/venv
COPY service service
RUN python -m compileall -q service
USER mmoe
ENV MMOE_MODELS=/models MMOE_HOST=0.0.0.0 MMOE_PORT=8000 ORT_DISABLE_TELEMETRY=1
EXPOSE 8000
VOLUME /models
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['MMOE_PORT']}/health/ready\", timeout=2)"]
ENTRYPOINT ["python", "-m", "service"]
