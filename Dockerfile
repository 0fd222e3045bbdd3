# The page for people who host it themselves: docker build -t lift4d . && docker run -p 7860:7860 --memory 8g --read-only -v /tmp lift4d
FROM python:3.11-slim-bookworm

# Where packages come from, where that is another place than pip's own; torch needs one with its CPU build.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS

RUN useradd --create-home --uid 1000 lift4d
WORKDIR /srv/lift4d

COPY requirements-hashes.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-hashes.txt

COPY app.py LICENSE ./
COPY toolkit ./toolkit
COPY weights ./weights

# Compiled ahead of time, for the kind of machine that the image is built on; another one compiles once more where it may write.
ENV NUMBA_CACHE_DIR=/srv/lift4d/compiled OMP_WAIT_POLICY=passive GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860
RUN mkdir compiled && python -m toolkit warm-up && chown -R lift4d compiled

USER 1000
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=10s --start-period=90s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=8)"]
CMD ["python", "app.py"]
