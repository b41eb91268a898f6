# Two images from one file: `service` (the last stage, the default) has no torch; `trainer` has.
# They share the user and the place of the models, so that a volume filled by one is read by the other.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:$PATH
RUN useradd --uid 10001 --create-home mmoe && install -d -o mmoe /models
WORKDIR /app


# Lists of what to install, from the places that name it: layers with packages are built anew only when their list changes.
FROM base AS requirements
COPY pyproject.toml constraints.txt ./
RUN python3 -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; base = p['dependencies']; \
train = p['optional-dependencies']['train']; open('service.txt', 'w').write('\\n'.join(base)); \
open('trainer.txt', 'w').write('\\n'.join(base + train)); pins = open('constraints.txt').read().partition('# [dev]')[0]; \
open('trainer-pins.txt', 'w').write(pins); open('service-pins.txt', 'w').write(pins.partition('# [train]')[0])"


FROM base AS service-packages
COPY --from=requirements /app/service.txt /app/service-pins.txt ./
RUN python3 -m venv /opt/venv
# What the service never imports goes out again: pip, headers, tests, tools for preparing models.
RUN pip install --no-cache-dir -c service-pins.txt -r service.txt \
 && pip uninstall -q -y pip setuptools \
 && cd /opt/venv/lib/python3*/site-packages \
 && rm -rf numpy/*/tests numpy/tests numpy/_core/include numpy/f2py onnxruntime/tools onnxruntime/transformers \
      onnxruntime/quantization onnxruntime/datasets


FROM base AS trainer-packages
# A second place where pip looks for packages, such as PyTorch's index of CPU builds: see README, "Docker".
ARG PIP_EXTRA_INDEX_URL
COPY --from=requirements /app/trainer.txt /app/trainer-pins.txt ./
RUN python3 -m venv /opt/venv
RUN pip install --no-cache-dir -c trainer-pins.txt -r trainer.txt


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
