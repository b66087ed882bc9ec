//! Opening a port, with errors that name the setting to change.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
};

use tokio::net::{TcpListener, TcpSocket, lookup_host};

/// Connections that may wait to be accepted, where the system lets as many (`net.core.somaxconn`; listen(2)). Everybody comes back at the same
/// moment; whoever finds no place is not refused, his SYN is dropped, and he tries again after a second (RFC 6298, section 2).
const WAITING: u32 = 65_535;

/// Why nobody can connect.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "{host:?} is no address and no name that can be looked up; set HOST (--host) to one of this machine, such as 0.0.0.0"
    )]
    Unknown {
        host: String,
        #[source]
        source: io::Error,
    },
    #[error("{host} is no address of this machine; set HOST (--host) to one that is, or to 0.0.0.0 for all")]
    Elsewhere {
        host: String,
        #[source]
        source: io::Error,
    },
    #[error("port {port} of {host} is taken; is another server there? {remedy}")]
    Taken {
        host: String,
        port: u16,
        remedy: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("could not listen on port {port} of {host}; is HOST (--host) right? {remedy}")]
    Other {
        host: String,
        port: u16,
        remedy: &'static str,
        #[source]
        source: io::Error,
    },
}

/// Listens; `remedy` is a sentence on how to have another port, for complaints.
pub async fn listen(host: &str, port: u16, remedy: &'static str) -> Result<TcpListener, ListenError> {
    let of = host;
    let host = of.to_owned();
    let addresses = match lookup_host((of, port)).await {
        Ok(addresses) => addresses.collect::<Vec<_>>(),
        Err(source) => return Err(ListenError::Unknown { host, source }),
    };
    bound(&addresses).map_err(|source| match source.kind() {
        ErrorKind::AddrNotAvailable => ListenError::Elsewhere { host, source },
        ErrorKind::AddrInUse => ListenError::Taken { host, port, remedy, source },
        _ => ListenError::Other { host, port, remedy, source },
    })
}

/// At the first of the addresses where that can be done.
fn bound(addresses: &[SocketAddr]) -> io::Result<TcpListener> {
    let mut last = io::Error::new(ErrorKind::AddrNotAvailable, "the name has no address");
    for address in addresses {
        match bound_to(*address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bound_to(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Also where connections of the process that was here before have not quite ended.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use tokio::{net::TcpStream, time::timeout};

    use super::*;

    #[tokio::test]
    async fn two_thousand_who_come_at_once_find_a_place_before_any_is_accepted() {
        let allowed = fs::read_to_string("/proc/sys/net/core/somaxconn").expect("the system's bound");
        let all = allowed.trim().parse::<usize>().expect("a number").min(2_000);
        let listener = listen("127.0.0.1", 0, "PORT").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut there = Vec::with_capacity(all);
        while there.len() < all {
            let came = timeout(Duration::from_secs(20), TcpStream::connect(address)).await;
            there.push(came.unwrap_or_else(|_| panic!("no place behind {}", there.len())).expect("a connection"));
        }
    }
}
