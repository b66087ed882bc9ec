//! The TCP stream that HTTP and WebSocket run over: ours, so that it can be counted and cut off.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::link::Link;

/// What the kernel is told about each accepted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// How long sent bytes may stay unacknowledged, or the peer's window shut, before the kernel ends the connection
    /// (`TCP_USER_TIMEOUT`; only on Linux). This is what rids us of a peer that stops reading.
    pub user_timeout: Duration,
    /// Silence after which the kernel asks the peer whether it is still there.
    pub keepalive: Duration,
    /// The send buffer (`SO_SNDBUF`). Left to itself the kernel grows it to several megabytes for a peer that doesn't read.
    pub send_buffer: usize,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self { user_timeout: Duration::from_secs(15), keepalive: Duration::from_secs(60), send_buffer: 128 * 1024 }
    }
}

impl TcpOptions {
    /// Sets the options on an accepted stream.
    pub fn apply(&self, stream: &TcpStream) -> io::Result<()> {
        // Frames are written whole already: waiting for more to fill a segment would only delay them.
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        socket.set_send_buffer_size(self.send_buffer)?;
        socket
            .set_tcp_keepalive(&TcpKeepalive::new().with_time(self.keepalive).with_interval(Duration::from_secs(15)))?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(self.user_timeout))?;
        Ok(())
    }
}

/// An accepted TCP stream whose traffic is counted in its [`Link`] and which fails once that is killed.
///
/// `kept` is held as long as the stream is: the serve loop's slot for this connection.
#[derive(Debug)]
pub struct Accepted<K = ()> {
    stream: TcpStream,
    link: Arc<Link>,
    _kept: K,
}

impl<K> Accepted<K> {
    /// Takes over a stream accepted from `peer`.
    pub fn new(stream: TcpStream, peer: SocketAddr, kept: K) -> Self {
        Self { stream, link: Arc::new(Link::new(peer)), _kept: kept }
    }

    /// The handle that others keep.
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Runs a write operation, unless or until the link is killed.
    fn writing<T>(
        &mut self,
        cx: &mut Context<'_>,
        operation: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.link.is_killed() {
            return Poll::Ready(Err(killed()));
        }
        let polled = operation(Pin::new(&mut self.stream), cx);
        if polled.is_pending() {
            self.link.wake_writer(cx);
            if self.link.is_killed() {
                return Poll::Ready(Err(killed()));
            }
        }
        polled
    }
}

impl<K: Unpin> AsyncRead for Accepted<K> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.link.is_killed() {
            return Poll::Ready(Err(killed()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        match &polled {
            Poll::Ready(_) => this.link.count_read(buf.filled().len() - before),
            Poll::Pending => {
                this.link.wake_reader(cx);
                if this.link.is_killed() {
                    return Poll::Ready(Err(killed()));
                }
            }
        }
        polled
    }
}

impl<K: Unpin> AsyncWrite for Accepted<K> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = this.writing(cx, |stream, cx| stream.poll_write(cx, buf));
        if let Poll::Ready(Ok(bytes)) = polled {
            this.link.count_written(bytes);
        }
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = this.writing(cx, |stream, cx| stream.poll_write_vectored(cx, bufs));
        if let Poll::Ready(Ok(bytes)) = polled {
            this.link.count_written(bytes);
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().writing(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().writing(cx, |stream, cx| stream.poll_shutdown(cx))
    }
}

impl<K> Drop for Accepted<K> {
    fn drop(&mut self) {
        if self.link.is_discarded() {
            // A reset frees the kernel's send buffer now; an orderly close would keep it for a peer that won't read.
            // Failing, it is the orderly close.
            let _ = self.stream.set_zero_linger();
        }
        self.link.mark_closed();
    }
}

fn killed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "this server ended the connection")
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        sync::oneshot,
        time::timeout,
    };

    use super::*;

    /// Long enough to tell hanging from working.
    const HANGS: Duration = Duration::from_secs(30);

    async fn pair(options: TcpOptions) -> (Accepted, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        options.apply(&stream).unwrap();
        (Accepted::new(stream, peer, ()), client)
    }

    /// Writes until the peer's window and our buffer are full, tells so, and waits on.
    async fn write_until_stuck(stream: &mut (impl AsyncWrite + Unpin), stuck: oneshot::Sender<()>) -> io::Error {
        let block = [7; 16 * 1024];
        let mut stuck = Some(stuck);
        poll_fn(|cx| {
            loop {
                match Pin::new(&mut *stream).poll_write(cx, &block) {
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(error),
                    Poll::Pending => {
                        if let Some(stuck) = stuck.take() {
                            stuck.send(()).unwrap();
                        }
                        return Poll::Pending;
                    }
                }
            }
        })
        .await
    }

    #[tokio::test]
    async fn the_kernel_is_told_what_is_asked_of_it() {
        let keepalive = Duration::from_secs(33);
        let options = TcpOptions { user_timeout: Duration::from_secs(7), keepalive, send_buffer: 32 * 1024 };
        let (accepted, _client) = pair(options).await;
        let socket = SockRef::from(&accepted.stream);
        assert!(accepted.stream.nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), keepalive);
        // Linux gives twice as much, for its own records.
        assert!((32 * 1024..=64 * 1024).contains(&socket.send_buffer_size().unwrap()));
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(options.user_timeout));
    }

    #[tokio::test]
    async fn counts_what_it_carries() {
        let (mut accepted, mut client) = pair(TcpOptions::default()).await;
        client.write_all(b"hello").await.unwrap();
        let mut received = [0; 5];
        accepted.read_exact(&mut received).await.unwrap();
        accepted.write_all(b"goodbye").await.unwrap();
        let slices = [io::IoSlice::new(b"1"), io::IoSlice::new(b"23")];
        assert_eq!(accepted.write_vectored(&slices).await.unwrap(), 3);
        assert_eq!((accepted.link().bytes_read(), accepted.link().bytes_written()), (5, 10));
        assert!(accepted.is_write_vectored());
    }

    #[tokio::test]
    async fn a_kill_ends_a_writer_that_waits_for_the_peer_to_read() {
        let (mut accepted, client) = pair(TcpOptions::default()).await;
        let link = accepted.link().clone();
        let (stuck, is_stuck) = oneshot::channel();
        let writer = tokio::spawn(async move { write_until_stuck(&mut accepted, stuck).await });
        is_stuck.await.unwrap();
        link.kill();
        let error = timeout(HANGS, writer).await.expect("the writer still waits").unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        timeout(HANGS, link.closed()).await.expect("the stream is still open");
        drop(client);
    }

    #[tokio::test]
    async fn a_kill_ends_reader_and_writer_in_tasks_of_their_own() {
        let (accepted, mut client) = pair(TcpOptions::default()).await;
        let link = accepted.link().clone();
        let (mut read, mut write) = tokio::io::split(accepted);
        let (stuck, is_stuck) = oneshot::channel();
        let writer = tokio::spawn(async move { write_until_stuck(&mut write, stuck).await });
        let (waits, is_waiting) = oneshot::channel();
        let reader = tokio::spawn(async move {
            let mut waits = Some(waits);
            let mut read_future = std::pin::pin!(read.read_u8());
            poll_fn(|cx| {
                let polled = read_future.as_mut().poll(cx);
                if let (true, Some(waits)) = (polled.is_pending(), waits.take()) {
                    waits.send(()).unwrap();
                }
                polled
            })
            .await
        });
        is_stuck.await.unwrap();
        is_waiting.await.unwrap();
        link.kill();
        let read_error = timeout(HANGS, reader).await.expect("the reader still waits").unwrap().unwrap_err();
        let write_error = timeout(HANGS, writer).await.expect("the writer still waits").unwrap();
        assert_eq!(read_error.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(write_error.kind(), io::ErrorKind::ConnectionAborted);
        // The peer gets a reset, not the megabyte that was still on its way followed by an orderly end.
        let mut rest = Vec::new();
        let end = timeout(HANGS, client.read_to_end(&mut rest)).await.expect("the peer was not told");
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn who_is_hung_up_on_still_gets_what_was_written() {
        let (mut accepted, mut client) = pair(TcpOptions::default()).await;
        accepted.write_all(&[7; 64 * 1024]).await.unwrap();
        accepted.link().hang_up();
        assert_eq!(accepted.write_u8(1).await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        drop(accepted);
        let mut received = Vec::new();
        timeout(HANGS, client.read_to_end(&mut received)).await.expect("the peer was not told").unwrap();
        assert_eq!(received.len(), 64 * 1024);
    }

    #[tokio::test]
    async fn nothing_works_after_a_kill() {
        let (mut accepted, _client) = pair(TcpOptions::default()).await;
        accepted.link().kill();
        let aborted = io::ErrorKind::ConnectionAborted;
        assert_eq!(accepted.read_u8().await.unwrap_err().kind(), aborted);
        assert_eq!(accepted.write_u8(1).await.unwrap_err().kind(), aborted);
        assert_eq!(accepted.flush().await.unwrap_err().kind(), aborted);
        assert_eq!(accepted.shutdown().await.unwrap_err().kind(), aborted);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_kernel_ends_a_peer_that_stops_reading() {
        let (mut accepted, client) =
            pair(TcpOptions { user_timeout: Duration::from_secs(1), ..TcpOptions::default() }).await;
        let (stuck, is_stuck) = oneshot::channel();
        let writer = tokio::spawn(async move { write_until_stuck(&mut accepted, stuck).await });
        is_stuck.await.unwrap();
        let error = timeout(HANGS, writer).await.expect("the writer still waits").unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }
}
