# Stands in for redis:7-bookworm.
FROM devlore-base:bookworm
RUN groupadd --gid 999 redis && useradd --uid 999 --gid 999 --no-create-home redis && install -d -o redis -g redis /data \
    && apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/* /var/cache/apt
VOLUME /data
CMD ["redis-server"]
