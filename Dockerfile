FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
ENV SQLX_OFFLINE=true
RUN cargo build --release --locked --bin curia-realtime

FROM debian:bookworm-slim
RUN useradd --system --no-create-home curia
COPY --from=build /src/target/release/curia-realtime /usr/local/bin/
USER curia
EXPOSE 4000
ENTRYPOINT ["curia-realtime"]
CMD ["serve"]
