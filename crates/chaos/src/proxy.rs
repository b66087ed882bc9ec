//! A TCP proxy that cuts, stalls, delays and swallows what goes through it.
//!
//! One accepting task, one task a connection, all ended by dropping the [`Proxy`]. A cut closes every connection there is, what
//! was under way is lost; a stall closes nothing, also of connections that come meanwhile. What is swallowed is taken and never
//! delivered, on the connections there are, and both ends find them open, until one of them closes its own.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::sleep,
};

/// What happens to whatever passes.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    /// Connections made under an earlier number are closed.
    cuts: u64,
    /// Nothing is delivered any more on those that were made under an earlier number of these.
    swallows: u64,
    stalled: bool,
    delay: Duration,
}

/// See the module.
pub struct Proxy {
    pub port: u16,
    weather: Arc<watch::Sender<Weather>>,
    /// The ports from which it connects, to be told who is who on the other side.
    outgoing: Arc<Mutex<BTreeSet<u16>>>,
    _accepting: JoinSet<()>,
    changing: JoinSet<()>,
}

impl Proxy {
    /// Stands before this port of the loopback interface.
    pub async fn before(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (weather, outgoing) = (Arc::new(watch::Sender::default()), Arc::default());
        let ours = listener.local_addr()?.port();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, port, weather.subscribe(), Arc::clone(&outgoing)));
        Ok(Self { port: ours, weather, outgoing, _accepting: accepting, changing: JoinSet::new() })
    }

    /// Closes every connection.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }

    /// Delivers nothing any more on the connections there are.
    pub fn swallow(&self) {
        self.weather.send_modify(|weather| weather.swallows += 1);
    }

    /// Lets nothing pass for so long.
    pub fn stall(&mut self, lasting: Duration) {
        self.for_a_while(lasting, |weather, on| weather.stalled = on);
    }

    /// Lets everything pass this much later, for so long.
    pub fn delay(&mut self, by: Duration, lasting: Duration) {
        self.for_a_while(lasting, move |weather, on| weather.delay = if on { by } else { Duration::ZERO });
    }

    /// From now on everything passes as it should; what is swallowed stays so.
    pub fn mend(&mut self) {
        self.changing.abort_all();
        self.weather.send_modify(|weather| {
            let Weather { cuts, swallows, .. } = *weather;
            *weather = Weather { cuts, swallows, ..Weather::default() };
        });
    }

    fn for_a_while(&mut self, lasting: Duration, change: impl Fn(&mut Weather, bool) + Send + 'static) {
        while self.changing.try_join_next().is_some() {}
        let weather = Arc::clone(&self.weather);
        weather.send_modify(|weather| change(weather, true));
        self.changing.spawn(async move {
            sleep(lasting).await;
            weather.send_modify(|weather| change(weather, false));
        });
    }

    /// Whether a connection from this port is one of its own.
    pub fn connects_from(&self, port: u16) -> bool {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner).contains(&port)
    }
}

async fn accept(
    listener: TcpListener,
    port: u16,
    weather: watch::Receiver<Weather>,
    outgoing: Arc<Mutex<BTreeSet<u16>>>,
) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((near, _)) = listener.accept().await else { return };
        connections.spawn(forward(near, port, weather.clone(), Arc::clone(&outgoing)));
    }
}

async fn forward(
    near: TcpStream,
    port: u16,
    mut weather: watch::Receiver<Weather>,
    outgoing: Arc<Mutex<BTreeSet<u16>>>,
) {
    let Weather { cuts, swallows, .. } = *weather.borrow();
    // Whoever connects while nobody listens finds his connection closed.
    let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let ours = far.local_addr().map_or(0, |address| address.port());
    outgoing.lock().unwrap_or_else(PoisonError::into_inner).insert(ours);
    let _ = (near.set_nodelay(true), far.set_nodelay(true)); // For speed alone.
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let (there, back) = (weather.clone(), weather.clone());
    tokio::select! {
        () = pump(near_read, far_write, swallows, there) => {}
        () = pump(far_read, near_write, swallows, back) => {}
        _ = weather.wait_for(|weather| weather.cuts > cuts) => {}
    }
    outgoing.lock().unwrap_or_else(PoisonError::into_inner).remove(&ours);
}

/// Until one end closes.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, swallows: u64, mut weather: watch::Receiver<Weather>) {
    let mut bytes = vec![0; 32 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let delay = weather.borrow().delay;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let Ok(now) = weather.wait_for(|weather| !weather.stalled || weather.swallows > swallows).await.map(|now| *now)
        else {
            return;
        };
        if now.swallows == swallows && to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
