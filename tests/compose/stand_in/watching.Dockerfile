# Stands in for prom/prometheus, prom/alertmanager and prom/node-exporter: Debian's packages of the same programs, under
# the names, users and data directories of those images.
ARG BASE
FROM ${BASE}
RUN apt-get update -qq \
    && apt-get install -qq --yes --no-install-recommends \
        busybox prometheus prometheus-alertmanager prometheus-node-exporter > /dev/null \
    && rm -rf /var/lib/apt/lists/* \
    && ln -s /usr/bin/busybox /usr/bin/wget \
    && ln -s /usr/bin/prometheus-alertmanager /bin/alertmanager \
    && ln -s /usr/bin/prometheus-node-exporter /bin/node_exporter \
    && mkdir -p /prometheus /alertmanager && chown 65534:65534 /prometheus /alertmanager
ARG PROGRAM
ENV PROGRAM=${PROGRAM}
USER 65534:65534
ENTRYPOINT ["sh", "-c", "exec \"/bin/$PROGRAM\" \"$@\"", "sh"]
