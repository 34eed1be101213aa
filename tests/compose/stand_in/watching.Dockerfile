# Stands in for prom/prometheus, prom/alertmanager and prom/node-exporter: Debian's packages of the same programs, with
# BusyBox and nothing else, under the names, users and data directories of those images (compose/images.yaml).
ARG BASE
FROM ${BASE} AS packages
RUN apt-get update -qq \
    && apt-get install -qq --yes --no-install-recommends \
        busybox-static prometheus prometheus-alertmanager prometheus-node-exporter > /dev/null \
    && ln -s prometheus-alertmanager /usr/bin/alertmanager \
    && ln -s prometheus-node-exporter /usr/bin/node_exporter
ARG PROGRAM
RUN mkdir -p /root-fs/bin /root-fs/etc /root-fs/tmp /root-fs/prometheus /root-fs/alertmanager \
    && cp /bin/busybox /root-fs/bin/ && chroot /root-fs /bin/busybox --install -s /bin \
    && cp -L "/usr/bin/$PROGRAM" /root-fs/bin/ && ln -s "$PROGRAM" /root-fs/bin/program \
    && for file in $(ldd "/usr/bin/$PROGRAM" | grep -o '/[^ ]*'); do cp -L --parents "$file" /root-fs; done \
    # Debian's Alertmanager has its templates here; the image's has them in the program.
    && cp -r --parents /usr/share/prometheus /root-fs \
    && printf 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' > /root-fs/etc/passwd \
    && chown 65534:65534 /root-fs/prometheus /root-fs/alertmanager && chmod 1777 /root-fs/tmp

FROM scratch
COPY --from=packages /root-fs /
USER 65534:65534
ENTRYPOINT ["/bin/program"]
