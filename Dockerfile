# For hosting the page yourself; a Hugging Face Space reads README.md's front matter instead.
FROM python:3.12-slim

RUN useradd --create-home --uid 1000 iwp
WORKDIR /home/iwp/app

# The packages change less often than the source: a layer of their own.
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt

COPY --chown=iwp:iwp . .
RUN mkdir -p /home/iwp/.cache/huggingface && chown -R iwp:iwp /home/iwp/.cache
USER iwp

ENV GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    GRADIO_ANALYTICS_ENABLED=False \
    HF_HOME=/home/iwp/.cache/huggingface \
    PYTHONUNBUFFERED=1
# Downloaded models survive the container.
VOLUME /home/iwp/.cache/huggingface
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/', timeout=4)"]

CMD ["python", "app.py"]
