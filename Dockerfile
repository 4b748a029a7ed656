# syntax=docker/dockerfile:1
# The first stage has a C compiler and builds the data path compiled; the second has what runs, and nothing to build with.
FROM python:3.11-bookworm AS build
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY shadowproxy shadowproxy
# "yes" fails where "auto" would quietly interpret.
ENV SHADOWPROXY_COMPILE=yes
RUN python -m venv /opt/shadowproxy \
 && /opt/shadowproxy/bin/pip install --no-cache-dir ".[otel]" \
 && /opt/shadowproxy/bin/shadowproxy --version

FROM python:3.11-slim-bookworm
COPY --from=build /opt/shadowproxy /opt/shadowproxy
# Nobody, by number: runAsNonRoot cannot check a name. The root file system may be read-only; /tmp must be writable.
USER 65532:65532
EXPOSE 8080 9901 9902
ENTRYPOINT ["/opt/shadowproxy/bin/shadowproxy"]
CMD ["--help"]
