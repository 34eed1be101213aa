# Stands in for confluentinc/cp-kafka and cp-zookeeper: Kafka's and ZooKeeper's own jars, and of the images the user, the
# paths with their owners and rights, the volumes and the start (compose/images.yaml names their Dockerfiles).
ARG BASE
FROM ${BASE}
ARG COMPONENT
# The second variable: a container lives for minutes, too short for the optimizing compiler to pay off.
ENV COMPONENT=${COMPONENT} JDK_JAVA_OPTIONS=-XX:TieredStopAtLevel=1
RUN useradd --uid 1000 --create-home appuser \
    && mkdir -p /etc/kafka /etc/${COMPONENT}/secrets /var/lib/${COMPONENT}/data /var/lib/${COMPONENT}/log /usr/logs \
    && chown -R appuser:root /etc/kafka /etc/${COMPONENT} /var/lib/${COMPONENT} \
    && chown appuser:appuser /usr/logs \
    && chmod -R ug+w /etc/kafka /var/lib/${COMPONENT}
COPY libs /usr/share/java/kafka
COPY agent /usr/share/java/cp-base-new
COPY run /etc/confluent/docker/run
VOLUME ["/var/lib/${COMPONENT}/data", "/etc/${COMPONENT}/secrets"]
USER appuser
CMD ["/etc/confluent/docker/run"]
