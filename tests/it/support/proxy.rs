//! A proxy in front of services: it sends new connections elsewhere, is slow, or falls silent without closing anything,
//! altogether or only on the connections there are.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::sleep,
};

#[derive(Clone, Copy, PartialEq, Eq)]
struct Way {
    to: SocketAddr,
    /// Nothing is forwarded, in neither direction.
    silent: bool,
    /// Nor is it on connections that were made under an earlier number.
    swallowed: u32,
    /// Each way.
    delay: Duration,
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
        let way = watch::Sender::new(Way { to: address(url), silent: false, swallowed: 0, delay: Duration::ZERO });
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, way.subscribe()));
        Self { url, way, _accepting: accepting }
    }

    /// New connections go to another service; those there are stay where they are.
    pub fn lead_to(&self, url: &str) {
        self.way.send_modify(|way| way.to = address(url));
    }

    /// Everything comes this much later from now on, each way, also on the connections there are.
    pub fn delay(&self, by: Duration) {
        self.way.send_modify(|way| way.delay = by);
    }

    /// Forwards nothing from now on. Both ends find their connections open.
    pub fn fall_silent(&self) {
        self.way.send_modify(|way| way.silent = true);
    }

    /// Forwards nothing any more on the connections there are, which both ends find open; new ones are as ever.
    pub fn swallow(&self) {
        self.way.send_modify(|way| way.swallowed += 1);
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
        let Way { to, swallowed, .. } = *way.borrow_and_update();
        connections.spawn(forward(near, to, swallowed, way.clone()));
    }
}

async fn forward(mut near: TcpStream, to: SocketAddr, made: u32, mut way: watch::Receiver<Way>) {
    // Whoever connects while nobody listens finds his connection closed.
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true)); // For speed alone.
    let (there, back) = (way.clone(), way.clone());
    let ((near_read, near_write), (far_read, far_write)) = (near.split(), far.split());
    let forwarding = async { tokio::try_join!(pump(near_read, far_write, there), pump(far_read, near_write, back)) };
    let silent = tokio::select! {
        // One of them has gone.
        _ = forwarding => false,
        _ = way.wait_for(|way| way.silent || way.swallowed > made) => true,
    };
    if silent {
        std::future::pending::<()>().await;
    }
}

/// Until one end says that no more comes.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, way: watch::Receiver<Way>) -> io::Result<()> {
    let mut bytes = vec![0; 32 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        let delay = way.borrow().delay;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        to.write_all(&bytes[..count]).await?;
    }
}

fn address(url: &str) -> SocketAddr {
    let (_, place) = url.split_once("://").expect("a URL");
    let host = place.split('/').next().unwrap_or(place);
    host.rsplit('@').next().unwrap_or(host).parse().expect("an address")
}
