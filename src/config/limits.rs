//! Contract section 11: what one client, one user and one address may take.

use std::time::Duration;

use super::{
    reader::{Reader, Refused},
    setting as settings, value as read,
};
use crate::{
    gateway::Steps,
    limits::{Rate, Rates},
    socket::{Places, TrustedProxies},
};

/// How many may be counted of one user and class at a time: each is remembered.
const COUNTED: std::ops::RangeInclusive<u32> = 1..=10_000;
/// Shorter, and the way to Redis and back would count.
const SHORTEST: Duration = Duration::from_secs(1);

/// What a socket asks next waits until a refusal is told.
const LONGEST_STEP: Duration = Duration::from_secs(1);

/// What clients may take.
#[derive(Clone, Debug)]
pub struct ClientLimits {
    /// A feed counts as one.
    pub rooms_per_socket: u32,
    /// Bytes of a message from a client.
    pub max_message_size: u64,
    /// From the handshake to CONNECT.
    pub connect_timeout: Duration,
    /// Between two pings.
    pub ping_interval: Duration,
    /// For the answer to one.
    pub ping_timeout: Duration,
    /// For a client that reads nothing.
    pub stall_timeout: Duration,
    /// Bytes that may wait for one client.
    pub max_pending: u64,
    /// Frames that may.
    pub max_pending_frames: u32,
    /// Of everybody.
    pub max_connections: u32,
    /// Of one user and one address.
    pub places: Places,
    /// Whose word on addresses is taken.
    pub proxies: TrustedProxies,
    /// Of what one user does.
    pub rates: Rates,
    /// When he is told what he may not.
    pub refusal_step: Steps,
}

impl ClientLimits {
    pub(super) fn from_reader(reader: &mut Reader<'_>) -> Result<Self, Refused> {
        let rooms_per_socket = reader.required(&settings::ROOMS_PER_SOCKET, read::count(1..=100_000));
        let max_message_size = reader.required(&settings::MAX_MESSAGE_SIZE, read::size);
        let connect_timeout = reader.required(&settings::CONNECT_TIMEOUT, read::duration);
        let ping_interval = reader.required(&settings::PING_INTERVAL, read::duration);
        let ping_timeout = reader.required(&settings::PING_TIMEOUT, read::duration);
        let stall_timeout = reader.required(&settings::STALL_TIMEOUT, read::duration);
        let max_pending = reader.required(&settings::MAX_PENDING, read::size);
        let max_pending_frames = reader.required(&settings::MAX_PENDING_FRAMES, read::count(16..=1_000_000));
        let max_connections = reader.required(&settings::MAX_CONNECTIONS, read::count(1..=1_000_000));
        let places = places(reader);
        let proxies = proxies(reader);
        let rates = rates(reader);
        let refusal_step = reader.required(&settings::REFUSAL_STEP, read::none_up_to(LONGEST_STEP));
        Ok(Self {
            rooms_per_socket: rooms_per_socket?,
            max_message_size: max_message_size?,
            connect_timeout: connect_timeout?,
            ping_interval: ping_interval?,
            ping_timeout: ping_timeout?,
            stall_timeout: stall_timeout?,
            max_pending: max_pending?,
            max_pending_frames: max_pending_frames?,
            max_connections: max_connections?,
            places: places?,
            proxies: proxies?,
            rates: rates?,
            refusal_step: Steps(refusal_step?),
        })
    }
}

fn places(reader: &mut Reader<'_>) -> Result<Places, Refused> {
    let places = read::count_or_off(1..=1_000_000);
    let per_user = reader.required(&settings::CONNECTIONS_PER_USER, &places);
    let per_address = reader.required(&settings::CONNECTIONS_PER_ADDRESS, &places);
    Ok(Places { per_user: per_user?, per_address: per_address? })
}

fn proxies(reader: &mut Reader<'_>) -> Result<TrustedProxies, Refused> {
    let networks = reader.optional(&settings::TRUSTED_PROXIES, |text| text.parse().ok());
    let header = reader.required(&settings::TRUSTED_PROXY_HEADER, read::address_header);
    Ok(TrustedProxies { header: header?, networks: networks?.unwrap_or_default() })
}

fn rates(reader: &mut Reader<'_>) -> Result<Rates, Refused> {
    let rate = |text: &str| {
        let (count, within) = read::rate(text)?;
        (COUNTED.contains(&count) && within >= SHORTEST).then_some(Rate { count, within })
    };
    let connect = reader.required(&settings::RATE_CONNECT, rate);
    let join = reader.required(&settings::RATE_JOIN, rate);
    let typing = reader.required(&settings::RATE_TYPING, rate);
    let presence_list = reader.required(&settings::RATE_PRESENCE_LIST, rate);
    let session_refresh = reader.required(&settings::RATE_SESSION_REFRESH, rate);
    let other = reader.required(&settings::RATE_OTHER, rate);
    Ok(Rates {
        connect: connect?,
        join: join?,
        typing: typing?,
        presence_list: presence_list?,
        session_refresh: session_refresh?,
        other: other?,
    })
}
