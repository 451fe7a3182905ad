# Flower: a page of the Celery workers and what they do. It talks to Redis alone.
FROM python:3.11-slim-bookworm
WORKDIR /src
COPY constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt flower==2.2.0 tornado==6.6.1 "kombu[redis]"
RUN useradd --uid 10003 --user-group --no-create-home flower
# celeryconfig.py is mounted there.
ENV PYTHONPATH=/etc/flower PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /tmp
USER 10003:10003
ENTRYPOINT ["celery", "--config", "celeryconfig", "flower", "--address=0.0.0.0", "--port=5555"]
