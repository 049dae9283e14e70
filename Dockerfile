# The engine alone: it watches a MongoDB that runs elsewhere (MTRIGGER_URI). No embedded server inside.
#
#   docker run -e MTRIGGER_URI=mongodb://… -v ./triggers:/rules:ro -v ./templates:/templates:ro mtrigger
#
# With sources beside the rules: -v ./sources:/sources:ro -e MTRIGGER_SOURCES=/sources
# Whatever a file can name is installed; a smaller image: docker build --build-arg EXTRAS=sql .

FROM python:3.13-slim-bookworm AS build
ARG EXTRAS=bridges,fast,notify,sql
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
# The environment needs no pip of its own: the image's does the work.
RUN python -m venv --without-pip /opt/mtrigger \
    && pip --python /opt/mtrigger/bin/python install --no-cache-dir --disable-pip-version-check -c constraints.txt ".[$EXTRAS]"

FROM python:3.13-slim-bookworm
COPY --from=build /opt/mtrigger /opt/mtrigger
ENV PATH="/opt/mtrigger/bin:$PATH" \
    PYTHONUNBUFFERED=1
USER 10001:10001
ENTRYPOINT ["mtrigger"]
CMD ["watch", "--rules", "/rules"]
