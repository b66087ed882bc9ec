use axum::Router;
use futures_util::{SinkExt, StreamExt, future::BoxFuture};
use socketioxide::SocketIo;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use super::*;
use crate::{
    http::{ServeOptions, serve},
    socket::{
        guests::{Guests, Places},
        handlers::Kept,
        links::Links,
        sink::{Member, Pending},
        tasks::SocketTasks,
    },
};

/// Long enough to tell hanging from working.
const HANGS: Duration = Duration::from_secs(30);

/// Serves sockets whose task ends as `task` does, and says whose connections have ended.
async fn is_closed_behind(task: fn() -> BoxFuture<'static, ()>) {
    let members = Members::new(Pending { bytes: 1 << 20, frames: 16 });
    let tasks = SocketTasks::new(CancellationToken::new());
    let guests = Guests::new(Places { per_user: Some(1), per_address: Some(1) });
    let (socket_io, io) = SocketIo::builder().build_layer();
    let entering = (members.clone(), tasks, guests.clone());
    io.ns("/", move |socket: SocketRef| {
        let (members, tasks, guests) = entering.clone();
        let key = SocketKey(1);
        let session = EngineSession::of(&socket.req_parts().extensions).cloned();
        let (address, user) = (guests.of_address([127, 0, 0, 1].into()), guests.of_user(&"ada".into()));
        let held = Held { _session: None, _address: address.unwrap(), _user: user.unwrap() };
        members.add(key, Member::new(socket.clone(), session, Kept::new(held, mpsc::channel(1).0)));
        let leaving = members.clone();
        socket.on_disconnect(async move |_: DisconnectReason| drop(leaving.remove(key)));
        tasks.spawn("serving", async move {
            let _served = Served { members, key, socket };
            task().await;
        });
        std::future::ready(())
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Arc::<Links>::default().track(Router::new().layer(socket_io));
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, app, ServeOptions::default(), shutdown.clone()));

    let (mut client, _) = connect_async(format!("ws://{address}/socket.io/?EIO=4&transport=websocket")).await.unwrap();
    client.send(Message::text("40")).await.unwrap();
    let ended = async { while client.next().await.is_some_and(|frame| frame.is_ok()) {} };
    timeout(HANGS, ended).await.expect("a connection that nobody serves is still open");
    timeout(HANGS, members.empty()).await.expect("it is still a member");
    assert!(guests.of_user(&"ada".into()).is_ok(), "its place is given back");
    shutdown.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_socket_whose_task_panics_is_closed() {
    is_closed_behind(|| Box::pin(async { panic!("on purpose") })).await;
}

#[tokio::test]
async fn a_socket_whose_task_ends_is_closed() {
    is_closed_behind(|| Box::pin(async {})).await;
}
