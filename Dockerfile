# One image for the exporter, the relay and what docker-compose.yml needs beside them.
#
#   docker build .
#   docker build --secret id=ca,src=corporate-ca.crt --secret id=pip_conf,src=$HOME/.config/pip/pip.conf .
#
# ca: certificates of the authorities behind a package index of your own; pip_conf: where that index is, its password
# included. Neither stays in the image. An index without a password can be given as --build-arg PIP_INDEX_URL=...
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ARG PIP_INDEX_URL=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/run.txt requirements/run.txt
# the virtual environment has no pip of its own: the image's works for it
RUN --mount=type=secret,id=ca --mount=type=secret,id=pip_conf \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    if [ -s /run/secrets/pip_conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip_conf; fi; \
    python -m venv --without-pip /opt/hostwatch \
    && pip --python /opt/hostwatch/bin/python install --no-cache-dir --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
# what only the build needs is in the lock file too, and goes again
RUN pip --python /opt/hostwatch/bin/python install --no-cache-dir --no-index --no-deps --no-build-isolation . \
    && pip --python /opt/hostwatch/bin/python uninstall --yes editables hatchling packaging pathspec pluggy tomlkit \
       trove-classifiers

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="hostwatch" org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10101 hostwatch \
    && useradd --uid 10101 --gid 10101 --no-create-home --home-dir /var/lib/hostwatch --shell /usr/sbin/nologin hostwatch \
    && install -d -o hostwatch -g hostwatch -m 0700 /var/lib/hostwatch
COPY --from=build /opt/hostwatch /opt/hostwatch
COPY compose /opt/hostwatch/share/compose
ENV PATH=/opt/hostwatch/bin:$PATH PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/hostwatch/share
USER 10101:10101
EXPOSE 10101 10102
ENTRYPOINT ["hostwatch"]
CMD ["serve", "--listen", "0.0.0.0:10101"]
