# Stands in for clickhouse/clickhouse-server: the image's user, folders, rights, configuration and declared volume (its
# Dockerfile: compose/images.yaml), with clickhouse-server.py as the server.
ARG BASE
FROM ${BASE}
COPY requirements.txt /tmp/requirements.txt
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --quiet --no-cache-dir --require-hashes --only-binary :all: -r /tmp/requirements.txt
RUN groupadd --system --gid 101 clickhouse \
    && useradd --system --uid 101 --gid 101 --home-dir /var/lib/clickhouse clickhouse \
    && mkdir -p /var/lib/clickhouse /var/log/clickhouse-server /etc/clickhouse-server/config.d /etc/clickhouse-server/users.d
COPY etc/config.xml etc/users.xml /etc/clickhouse-server/
COPY etc/docker_related_config.xml /etc/clickhouse-server/config.d/
RUN chown -R clickhouse: /var/lib/clickhouse /var/log/clickhouse-server \
    && chmod -R ugo+Xrw /var/lib/clickhouse /var/log/clickhouse-server /etc/clickhouse-server
COPY native /opt/logbrook/native
COPY logbrook /opt/logbrook/logbrook
COPY clickhouse_config.py /opt/logbrook/
COPY clickhouse-server /usr/local/bin/clickhouse-server
ENV PYTHONPATH=/opt/logbrook PYTHONDONTWRITEBYTECODE=1 CLICKHOUSE_CONFIG=/etc/clickhouse-server/config.xml TZ=UTC
VOLUME /var/lib/clickhouse
