# syntax=docker/dockerfile:1
# The bench on CPUs, with the small build of torch. On a GPU: Dockerfile.cuda.
#   docker build -t fastvmt-bench .
#   docker run --rm --user "$(id -u)" -v "$PWD:/work" fastvmt-bench run --methods fastvmt,ditflow,flowstep
FROM python:3.11-slim
# Which build of torch, as uv names them; `--build-arg TORCH=` takes the package index's own, with CUDA, some GB more.
ARG TORCH=cpu
WORKDIR /opt/fastvmt-bench
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
COPY fastvmt fastvmt
COPY methods methods
COPY metrics metrics
COPY datasets datasets
COPY reports reports
RUN --mount=type=cache,target=/root/.cache/uv \
    pip install --no-cache-dir "uv>=0.9,<1" \
    && UV_CONSTRAINT=constraints.txt UV_LINK_MODE=copy \
    uv pip install --system --compile-bytecode ${TORCH:+--torch-backend "$TORCH"} .
# Nobody is root, and whoever `--user` names may write: what is made then belongs to who asked for it.
RUN useradd --create-home --uid 1000 bench && mkdir /work && chmod 1777 /work /home/bench
ENV HOME=/home/bench
USER 1000
WORKDIR /work
ENTRYPOINT ["bench"]
CMD ["--help"]
