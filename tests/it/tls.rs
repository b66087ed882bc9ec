//! The listening connection speaks TLS as the URL's `sslmode` asks for.

use std::time::Duration;

use curia_realtime::postgres::wake::Listener;
use curia_scratch::{Options, Postgres};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use crate::support::postgres::prepare;

/// Turns TLS on, with a certificate for the name localhost.
async fn with_tls(postgres: &Postgres) -> (PgPool, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let pool = PgPool::connect(&postgres.url_for("postgres")).await.expect("a connection");
    // The server writes the files, so that they are its own.
    for (file, text) in [("server.crt", cert.pem()), ("server.key", signing_key.serialize_pem())] {
        // Beside base64 line breaks matter in PEM, and a row of COPY is a line.
        let lines = text.trim_end().replace('\n', "'), ('");
        let write = format!("COPY (VALUES ('{lines}')) TO PROGRAM 'umask 077; cat > {file}'");
        sqlx::raw_sql(AssertSqlSafe(write)).execute(&pool).await.expect("a file");
    }
    for statement in ["ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"] {
        sqlx::raw_sql(statement).execute(&pool).await.expect("TLS, which this server was built without");
    }
    // A connection begins with what the postmaster has read by then.
    let anew = async || {
        let mut connection = PgConnection::connect(&postgres.url_for("postgres")).await.expect("a connection");
        sqlx::query_scalar::<_, String>("SHOW ssl").fetch_one(&mut connection).await.expect("a setting")
    };
    let read = async { while anew().await != "on" {} };
    tokio::time::timeout(Duration::from_secs(30), read).await.expect("the configuration to be read");
    (pool, cert.pem())
}

/// Whether the listening connection, while there is one, is encrypted.
async fn encrypted(pool: &PgPool, url: &str) -> Result<bool, String> {
    let listener = Listener::connect(&url.parse().expect("a URL"), pool, tokio::sync::mpsc::channel(1).0)
        .await
        .map_err(|error| format!("{error:?}"))?;
    let ssl = sqlx::query_scalar(
        "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'curia-realtime listener'",
    );
    let ssl = ssl.fetch_all(pool).await.expect("who listens");
    listener.ping().await.expect("a connection that lives");
    drop(listener);
    // It goes with its connection, which the server notices at once and not yet now.
    sqlx::raw_sql(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'curia-realtime listener'",
    )
    .execute(pool)
    .await
    .expect("an end");
    assert_eq!(ssl.len(), 1, "{ssl:?}");
    Ok(ssl[0])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listening_connection_speaks_tls_as_its_url_asks() {
    let postgres = Postgres::start(&Options::default()).expect("a throw-away PostgreSQL");
    prepare(&postgres, "postgres");
    let place = postgres.url_for("postgres");
    let by_number = place.clone();
    let by_name = place.replace("127.0.0.1", "localhost");
    let (pool, certificate) = with_tls(&postgres).await;
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let root = folder.join("root.crt");
    std::fs::write(&root, certificate).expect("a file");
    let root = root.display();

    assert_eq!(encrypted(&pool, &format!("{by_number}?sslmode=disable")).await, Ok(false));
    assert_eq!(encrypted(&pool, &by_number).await, Ok(true), "prefer is the default");
    assert_eq!(encrypted(&pool, &format!("{by_number}?sslmode=require")).await, Ok(true));
    assert_eq!(encrypted(&pool, &format!("{by_number}?sslmode=verify-ca&sslrootcert={root}")).await, Ok(true));
    assert_eq!(encrypted(&pool, &format!("{by_name}?sslmode=verify-full&sslrootcert={root}")).await, Ok(true));

    let refused = |outcome: Result<bool, String>, why: &str| {
        let error = outcome.expect_err("no connection");
        assert!(error.contains(why), "{error}");
    };
    refused(encrypted(&pool, &format!("{by_number}?sslmode=verify-full&sslrootcert={root}")).await, "NotValidForName");
    refused(encrypted(&pool, &format!("{by_name}?sslmode=verify-full")).await, "UnknownIssuer");
    refused(encrypted(&pool, &format!("{by_name}?sslmode=verify-ca&sslrootcert={root}.none")).await, "sslrootcert");
    std::fs::remove_dir_all(&folder).expect("to tidy up");
}
