use std::net::{Ipv4Addr, TcpListener};

use crate::ScratchError;

/// A port of the loopback interface that is free now. Somebody else may take it before the server does; who starts one tries again then.
pub fn free_port() -> Result<u16, ScratchError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(ScratchError::io("find a free port on 127.0.0.1"))
}

/// Whether `port` can be bound on the loopback interface.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The same for a server of a Redis Cluster, whose servers speak among themselves 10,000 ports above.
pub(crate) fn free_port_below_its_bus() -> Result<u16, ScratchError> {
    // Half of those that the systems hand out are low enough.
    for _ in 0..100 {
        let port = free_port()?;
        if port.checked_add(10_000).is_some_and(is_free) {
            return Ok(port);
        }
    }
    Err(ScratchError::io("find two free ports 10,000 apart on 127.0.0.1")(std::io::ErrorKind::AddrInUse.into()))
}
