//! As much of PostgreSQL's protocol as it takes to send a statement and hear whether it was carried out.
//!
//! psql would do, but it is a package of its own on most systems, and the npm package with the server's programs has none.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::ScratchError;

const PROTOCOL_3_0: i32 = 196_608;
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Longer than any statement of a test fixture takes on a busy machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
/// Rows are read and thrown away one at a time; none of a set-up script comes near this.
const LONGEST_MESSAGE: usize = 16 << 20;

/// A connection as the superuser `postgres`, to a server that trusts it.
pub(crate) struct Session {
    stream: TcpStream,
    doing: String,
}

impl Session {
    pub(crate) fn open(port: u16, database: &str) -> Result<Self, ScratchError> {
        let doing = format!("connect to PostgreSQL on 127.0.0.1:{port}");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, CONNECT_WITHIN)
            .and_then(|stream| stream.set_read_timeout(Some(ANSWER_WITHIN)).map(|()| stream))
            .map_err(ScratchError::io(&doing))?;
        let mut session = Self { stream, doing };

        let mut body = PROTOCOL_3_0.to_be_bytes().to_vec();
        for text in ["user", "postgres", "database", database, "application_name", "curia-scratch"] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        body.push(0);
        session.send(None, &body)?;
        session.until_ready("connect")?;
        Ok(session)
    }

    /// Carries out one statement; what it returns is thrown away.
    pub(crate) fn execute(&mut self, statement: &str) -> Result<(), ScratchError> {
        let mut body = statement.as_bytes().to_vec();
        body.push(0);
        self.send(Some(b'Q'), &body)?;
        self.until_ready(statement)
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> Result<(), ScratchError> {
        let length = i32::try_from(body.len() + 4).map_err(|_| self.surprise("the statement is longer than 2 GiB"))?;
        let mut message = Vec::with_capacity(body.len() + 5);
        message.extend(kind);
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(body);
        self.stream.write_all(&message).map_err(ScratchError::io(&self.doing))
    }

    fn until_ready(&mut self, statement: &str) -> Result<(), ScratchError> {
        let mut outcome = Ok(());
        loop {
            let (kind, body) = self.receive()?;
            match kind {
                b'Z' => return outcome,
                b'E' => {
                    let refused = refusal(statement, &body);
                    if statement == "connect" {
                        return Err(refused); // The server closes the connection and never gets ready.
                    }
                    outcome = Err(refused);
                }
                b'R' if body != [0; 4] => return Err(self.surprise("the server asks for a password")),
                b'G' => return Err(self.surprise("COPY FROM STDIN is not supported in a script")),
                _ => {}
            }
        }
    }

    fn receive(&mut self) -> Result<(u8, Vec<u8>), ScratchError> {
        let mut head = [0; 5];
        self.fill(&mut head)?;
        let [kind, length @ ..] = head;
        let length = usize::try_from(i32::from_be_bytes(length)).ok().and_then(|length| length.checked_sub(4));
        let Some(length) = length.filter(|length| *length <= LONGEST_MESSAGE) else {
            return Err(self.surprise("the answer is not in PostgreSQL's protocol"));
        };
        let mut body = vec![0; length];
        self.fill(&mut body)?;
        Ok((kind, body))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), ScratchError> {
        self.stream.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.surprise("the server closed the connection"),
            _ => ScratchError::io(&self.doing)(error),
        })
    }

    fn surprise(&self, detail: &str) -> ScratchError {
        ScratchError::Protocol { doing: self.doing.clone(), detail: detail.to_owned() }
    }
}

/// The error a server answered `statement` with: fields of one letter each, closed by a zero byte.
fn refusal(statement: &str, body: &[u8]) -> ScratchError {
    let field = |letter: u8| {
        body.split(|byte| *byte == 0)
            .find(|field| field.first() == Some(&letter))
            .map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
    };
    let mut message = field(b'M').unwrap_or_else(|| "no reason given".to_owned());
    for (letter, name) in [(b'D', "detail"), (b'H', "hint"), (b'C', "SQLSTATE")] {
        if let Some(text) = field(letter) {
            message += &format!("; {name}: {text}");
        }
    }
    let telling = statement.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("--"));
    ScratchError::Refused { statement: telling.unwrap_or(statement).to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn a_refusal_names_the_statement_and_the_reason() {
        let body = b"SERROR\0VERROR\0C42P01\0Mrelation \"t\" does not exist\0\0";
        assert_eq!(
            refusal("-- why\n  SELECT 1\nFROM t", body).to_string(),
            "PostgreSQL refused `SELECT 1`: relation \"t\" does not exist; SQLSTATE: 42P01"
        );
    }
}
