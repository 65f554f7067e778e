# One image for both processes: `python -m app` and `python -m worker`.
# The base image is pinned by its digest (Python 3.14.8), because a tag can change. Dependabot proposes newer digests.
FROM python:3.14-slim@sha256:f85c5697265c178cc6887276c55fe16cf3d14ca35c3df6a5eab3b360534a55d2 AS build
# requirements-otel.lock also has what sends traces (docs/TRACES.md).
ARG LOCK=requirements.lock
WORKDIR /srv
COPY requirements.lock requirements-otel.lock ./
RUN python -m venv /opt/venv
RUN /opt/venv/bin/pip install --quiet --no-cache-dir --no-deps --require-hashes --only-binary :all: -r ${LOCK:-requirements.lock}

FROM python:3.14-slim@sha256:f85c5697265c178cc6887276c55fe16cf3d14ca35c3df6a5eab3b360534a55d2
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 ENVIRONMENT=production
RUN useradd --system --uid 10001 --no-create-home broadsheet
WORKDIR /srv
COPY --from=build /opt/venv /opt/venv
COPY pyproject.toml requirements.lock ./
COPY app ./app
COPY worker ./worker
RUN python -m compileall -q app worker
USER broadsheet
# A wrong image fails the build.
RUN python -m app.boot --files
EXPOSE 8000
CMD ["python", "-m", "app"]
