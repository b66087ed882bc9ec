//! Opening a port, with errors that name the setting to change.

use std::io::{self, ErrorKind};

use tokio::net::{TcpListener, lookup_host};

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
    #[error("port {port} of {host} is taken; is another server there? Set {setting} to another")]
    Taken {
        host: String,
        port: u16,
        setting: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("could not listen on port {port} of {host}; set HOST (--host) or {setting} to another")]
    Other {
        host: String,
        port: u16,
        setting: &'static str,
        #[source]
        source: io::Error,
    },
}

/// Listens; `setting` is where the port comes from, for complaints.
pub async fn listen(host: &str, port: u16, setting: &'static str) -> Result<TcpListener, ListenError> {
    let of = host;
    let host = of.to_owned();
    let addresses = match lookup_host((of, port)).await {
        Ok(addresses) => addresses.collect::<Vec<_>>(),
        Err(source) => return Err(ListenError::Unknown { host, source }),
    };
    TcpListener::bind(addresses.as_slice()).await.map_err(|source| match source.kind() {
        ErrorKind::AddrNotAvailable => ListenError::Elsewhere { host, source },
        ErrorKind::AddrInUse => ListenError::Taken { host, port, setting, source },
        _ => ListenError::Other { host, port, setting, source },
    })
}
