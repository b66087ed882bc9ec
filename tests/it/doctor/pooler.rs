//! A pooler that keeps no session.

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};

use super::{assert_says, assert_wrong, of_forum};
use crate::support::postgres::Forum;

/// What PostgreSQL's message of a notification begins with.
const NOTIFICATION: u8 = b'A';

/// Carries everything but notifications, as a transaction pooler does: who listened has given his session back.
async fn pooler(before: u16) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its number").port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut carried = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", before)).await.expect("the server");
            carried.spawn(carry(client, server));
        }
    });
    (port, tasks)
}

async fn carry(client: TcpStream, server: TcpStream) {
    let ((mut from_client, to_client), (from_server, mut to_server)) = (client.into_split(), server.into_split());
    // Whoever ends first ends both.
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
        _ = answer(from_server, to_client) => {}
    }
}

async fn answer(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> std::io::Result<()> {
    loop {
        let kind = from.read_u8().await?;
        let length = from.read_u32().await?;
        let mut body = vec![0; length.saturating_sub(4) as usize];
        from.read_exact(&mut body).await?;
        if kind != NOTIFICATION {
            to.write_u8(kind).await?;
            to.write_u32(length).await?;
            to.write_all(&body).await?;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_keeps_no_session_is_named() {
    let forum = Forum::captured().await;
    let direct = forum.url();
    let server: PgConnectOptions = direct.parse().expect("a URL");
    let (port, _carrying) = pooler(server.get_port()).await;
    let mut url = url::Url::parse(&direct).expect("a URL");
    url.set_port(Some(port)).expect("a port");
    // The pooler of this test speaks no TLS, not even to refuse it.
    let pooled = format!("{url}?sslmode=disable");
    let parts = ["never told", "behind a transaction pooler", "let LISTEN_DATABASE_URL lead to the server itself"];
    assert_wrong(&of_forum(&forum, &[("DATABASE_URL", &pooled)]).await, "listening", &parts);
    let ran = of_forum(&forum, &[("DATABASE_URL", &pooled), ("LISTEN_DATABASE_URL", &direct)]).await;
    assert_says(&ran, "listening", "ok", &["keeps a session"]);
}
