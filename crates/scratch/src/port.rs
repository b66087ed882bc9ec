use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

use crate::ScratchError;

/// A port of the loopback interface, kept for whoever is about to listen on it, also while he is away: nobody else who asks for any free
/// port is given it, nor does a connection begin there.
///
/// What keeps it is a connection with ourselves on that port. Kernels give out no port with a connection on it, and let a server that
/// is started anew listen beside those of its predecessor (`SO_REUSEADDR`, which every server sets). Whoever names the number gets it.
/// Clones keep it together.
#[derive(Clone, Debug)]
pub struct Port {
    number: u16,
    _kept_by: Option<Arc<[TcpStream; 2]>>,
}

impl Port {
    /// One that is free.
    pub fn free() -> Result<Self, ScratchError> {
        let keep = || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let number = listener.local_addr()?.port();
            let there = TcpStream::connect((Ipv4Addr::LOCALHOST, number))?;
            loop {
                // A stranger may have been quicker; he finds his connection closed.
                let (here, peer) = listener.accept()?;
                if peer == there.local_addr()? {
                    return Ok(Self { number, _kept_by: Some(Arc::new([here, there])) });
                }
            }
        };
        keep().map_err(ScratchError::io("keep a free port on 127.0.0.1"))
    }

    /// The same for a server of a Redis Cluster, whose servers speak among themselves 10,000 ports above. That one is not kept: somebody may
    /// take it before the server does, and who starts it tries again then.
    pub(crate) fn free_below_its_bus() -> Result<Self, ScratchError> {
        // Half of those that the systems hand out are low enough.
        for _ in 0..100 {
            let port = Self::free()?;
            if port.number.checked_add(10_000).is_some_and(is_free) {
                return Ok(port);
            }
        }
        Err(ScratchError::io("find two free ports 10,000 apart on 127.0.0.1")(std::io::ErrorKind::AddrInUse.into()))
    }

    /// The one of this number, which nothing keeps.
    pub(crate) fn named(number: u16) -> Self {
        Self { number, _kept_by: None }
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// Whether a server can listen on `port` at the loopback interface: also where a [`Port`] keeps it for one, and where a server was that
/// ended just now.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel sees it for whoever asks for any free port: beside nothing that is there.
    fn has_nothing_on_it(port: u16) -> bool {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        match socket.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()) {
            Ok(()) => true,
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => false,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_port_is_kept_for_one_server_after_the_other() {
        let port = Port::free().unwrap();
        assert!(!has_nothing_on_it(port.number()));
        for _ in 0..3 {
            let server = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).unwrap();
            assert!(!is_free(port.number()));
            // A server that is killed leaves a connection behind.
            let _client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
            drop(server);
            assert!(!has_nothing_on_it(port.number()));
        }
        drop(TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).unwrap());
    }
}
