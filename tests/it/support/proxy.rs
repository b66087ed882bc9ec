//! A proxy in front of services: it sends new connections elsewhere, or falls silent without closing anything.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

#[derive(Clone, Copy, PartialEq, Eq)]
struct Way {
    to: SocketAddr,
    /// Nothing is forwarded, in neither direction.
    silent: bool,
}

pub struct Proxy {
    pub url: String,
    way: watch::Sender<Way>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Connections go to this service.
    pub async fn before(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let way = watch::Sender::new(Way { to: address(url), silent: false });
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, way.subscribe()));
        Self { url, way, _accepting: accepting }
    }

    /// New connections go to another service; those there are stay where they are.
    pub fn lead_to(&self, url: &str) {
        self.way.send_modify(|way| way.to = address(url));
    }

    /// Forwards nothing from now on. Both ends find their connections open.
    pub fn fall_silent(&self) {
        self.way.send_modify(|way| way.silent = true);
    }

    /// Forwards what comes on new connections again; those that fell silent stay so.
    pub fn speak(&self) {
        self.way.send_modify(|way| way.silent = false);
    }
}

async fn accept(listener: TcpListener, mut way: watch::Receiver<Way>) {
    let mut connections = JoinSet::new();
    loop {
        let (near, _) = listener.accept().await.expect("a connection");
        let to = way.borrow_and_update().to;
        connections.spawn(forward(near, to, way.clone()));
    }
}

async fn forward(mut near: TcpStream, to: SocketAddr, mut way: watch::Receiver<Way>) {
    // Whoever connects while nobody listens finds his connection closed.
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    let silent = tokio::select! {
        // One of them has gone.
        _ = copy_bidirectional(&mut near, &mut far) => false,
        _ = way.wait_for(|way| way.silent) => true,
    };
    if silent {
        std::future::pending::<()>().await;
    }
}

fn address(url: &str) -> SocketAddr {
    let (_, place) = url.split_once("://").expect("a URL");
    let host = place.split('/').next().unwrap_or(place);
    host.rsplit('@').next().unwrap_or(host).parse().expect("an address")
}
