//! HAProxy before two nodes, with the configuration that `compose.yaml` gives it.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use curia_scratch::{Keeper, Port};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    program::{Place, Serving},
    wire::http,
};

/// Tells hanging from working.
const PATIENCE: Duration = Duration::from_secs(30);
pub const CONFIGURATION: &str = include_str!("../../../haproxy.cfg");

pub struct Balancer {
    pub url: String,
    _haproxy: Keeper,
    _port: Port,
    place: Place,
}

impl Balancer {
    /// Before these two, which are ready.
    pub async fn before(nodes: &[Serving; 2]) -> Self {
        Self::start(CONFIGURATION, nodes.each_ref()).await
    }

    /// Before one that it takes for both.
    pub async fn before_one(node: &Serving) -> Self {
        Self::start(CONFIGURATION, [node, node]).await
    }

    /// The same that does not remember where a session was opened.
    pub async fn without_stickiness(nodes: &[Serving; 2]) -> Self {
        let sticks = |line: &&str| line.trim_start().starts_with("stick ");
        assert_eq!(CONFIGURATION.lines().filter(sticks).count(), 2, "one that remembers and one that looks up");
        let lines: Vec<_> = CONFIGURATION.lines().filter(|line| !sticks(line)).collect();
        Self::start(&lines.join("\n").replace("balance leastconn", "balance roundrobin"), nodes.each_ref()).await
    }

    async fn start(configuration: &str, nodes: [&Serving; 2]) -> Self {
        let place = Place::new();
        let file = |name| place.path().join(name).to_str().expect("a name").to_owned();
        std::fs::write(file("haproxy.cfg"), format!("{configuration}\n")).expect("a file");
        let haproxy = curia_scratch::haproxy().expect("HAProxy; `cargo xtask test` brings it");
        let haproxy = haproxy.to_str().expect("a name").to_owned();
        let [one, two] = nodes.map(|node| node.url.strip_prefix("http://").expect("an address").to_owned());
        let port = Port::free().expect("a port");
        let address = format!("127.0.0.1:{}", port.number());
        let script = format!(
            "export PROXY_LISTEN={address} NODE_ONE={one} NODE_TWO={two}; exec \"$0\" -db -f \"$1\" >\"$2\" 2>&1"
        );
        let words = ["-c".to_owned(), script, haproxy, file("haproxy.cfg"), file("log")];
        let mut haproxy = Keeper::start("/bin/sh", words).expect("a shell");
        let listens = listens(&mut haproxy, port.number()).await;
        assert!(listens, "HAProxy ends by itself: {}", std::fs::read_to_string(file("log")).unwrap_or_default());
        Self { url: format!("http://{address}"), _haproxy: haproxy, _port: port, place }
    }

    /// Waits until it holds a node for unfit, `one` or `two`.
    pub async fn until_unfit(&self, node: &str) {
        let said = format!("Server nodes/{node} is DOWN");
        let reading = async {
            while !std::fs::read_to_string(self.place.path().join("log")).expect("its log").contains(&said) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, reading).await.expect("HAProxy to notice");
    }
}

/// Whether it takes connections; false where it has ended.
async fn listens(haproxy: &mut Keeper, port: u16) -> bool {
    let url = format!("http://127.0.0.1:{port}");
    let asking = async {
        loop {
            if haproxy.ended().expect("a program").is_some() {
                return false;
            }
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                let answer = http(&url, Method::GET, "/healthz", &[], String::new()).await;
                return answer.status() == StatusCode::OK;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("HAProxy to listen")
}
