# Stands in for grafana/grafana: a small server that checks what Grafana checks at its start (grafana.py), with the image's
# user, paths, rights and start script's checks (compose/images.yaml).
ARG BASE
FROM ${BASE}
RUN apt-get update -qq \
    && apt-get install -qq --yes --no-install-recommends busybox python3-yaml > /dev/null \
    && rm -rf /var/lib/apt/lists/* \
    && ln -s /usr/bin/busybox /usr/bin/wget
ENV GF_PATHS_CONFIG=/etc/grafana/grafana.ini GF_PATHS_DATA=/var/lib/grafana GF_PATHS_HOME=/usr/share/grafana \
    GF_PATHS_LOGS=/var/log/grafana GF_PATHS_PLUGINS=/var/lib/grafana/plugins \
    GF_PATHS_PROVISIONING=/etc/grafana/provisioning PYTHONDONTWRITEBYTECODE=1
RUN useradd --system --uid 472 --gid 0 grafana \
    && mkdir -p "$GF_PATHS_HOME" "$GF_PATHS_LOGS" "$GF_PATHS_PLUGINS" "$GF_PATHS_PROVISIONING" \
    && touch "$GF_PATHS_CONFIG" \
    && chown -R grafana:0 "$GF_PATHS_DATA" "$GF_PATHS_LOGS" "$GF_PATHS_PROVISIONING" \
    && chmod -R 777 "$GF_PATHS_DATA" "$GF_PATHS_LOGS" "$GF_PATHS_PROVISIONING"
COPY grafana.py /run.sh
USER 472
ENTRYPOINT ["/run.sh"]
