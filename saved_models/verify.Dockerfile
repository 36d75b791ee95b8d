# mptrec-verify alone, without TensorFlow: what checks the versions before TF Serving loads them, in
# docker-compose.yaml (which builds it) and in kubernetes/deployment.yaml. In the folder above:
#
#     docker build -f saved_models/verify.Dockerfile -t mptrec-verify:0.3.0 .
FROM python:3.12-slim
WORKDIR /build
COPY setup.py pyproject.toml requirements/stack-b.txt ./
COPY mptrec_tf mptrec_tf
# All that it imports, as it is locked.
RUN grep -E '^(absl-py|cffi|cryptography|pycparser)==' stack-b.txt > needed.txt \
    && pip install --no-cache-dir --no-deps -r needed.txt .
USER 65534:65534
ENTRYPOINT ["mptrec-verify"]
