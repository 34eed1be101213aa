# Stands in for clickhouse/clickhouse-server: chdb's engine behind the native stack's HTTP front, under the server's
# name, user and data directory. It reads no XML: the files that compose mounts for the real server are checked as text.
ARG BASE
FROM ${BASE}
COPY requirements.txt /tmp/requirements.txt
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --quiet --no-cache-dir --require-hashes --only-binary :all: -r /tmp/requirements.txt
RUN useradd --uid 101 --home-dir /var/lib/clickhouse clickhouse \
    && mkdir -p /var/lib/clickhouse && chown clickhouse: /var/lib/clickhouse
COPY native /opt/logbrook/native
COPY logbrook /opt/logbrook/logbrook
COPY clickhouse-server /usr/local/bin/clickhouse-server
ENV PYTHONPATH=/opt/logbrook PYTHONDONTWRITEBYTECODE=1
VOLUME /var/lib/clickhouse
CMD ["clickhouse-server"]
