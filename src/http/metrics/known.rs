//! Every metric of the service, once: what it is called, what it says, and with which labels. `docs/operating.md` has the same names, and
//! says of each when to worry.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

/// What kind of number it is, and since when it is there.
#[derive(Clone, Copy)]
enum Kind {
    /// From zero on, from the start.
    Counter,
    /// The same for each value of a label, all of which are known.
    CounterBy(&'static str, &'static [&'static str]),
    /// Zero at the start.
    Gauge,
    /// There as soon as it was measured: zero would be a wrong answer before, or on a node that never measures it.
    Measured,
    /// Of durations, from the start.
    Histogram,
}

const KNOWN: &[(&str, Kind, &str)] = &[
    ("curia_sockets", Kind::Gauge, "Sockets that are open on this node"),
    ("curia_events_delivered_total", Kind::Counter, "Events handed to sockets, once for each socket"),
    (
        "curia_sockets_closed_slow_total",
        Kind::CounterBy("waiting", &["bytes", "frames"]),
        "Sockets closed because too much waited for them to read it",
    ),
    ("curia_socket_tasks_panicked_total", Kind::Counter, "Sockets closed for a mistake of this program"),
    (
        "curia_connections_refused_total",
        Kind::CounterBy("by", &["user", "address"]),
        "Sockets refused because their user or address has as many as it may",
    ),
    (
        "curia_rate_limited_total",
        Kind::CounterBy("class", &["connect", "join", "typing", "presence:list", "session:refresh", "other"]),
        "Commands refused because their user sends too many",
    ),
    (
        "curia_rate_limits_shared",
        Kind::Measured,
        "Whether users are limited over all nodes (1) or on this node for itself (0), where there is Redis",
    ),
    (
        "curia_replays_total",
        Kind::CounterBy(
            "outcome",
            &["recovered", "unknown_cursor", "too_old", "rights_changed", "flags_changed", "too_many", "too_large"],
        ),
        "Joins with a cursor, by what became of what they had missed",
    ),
    (
        "curia_recalls_total",
        Kind::Counter,
        "Readings of the outbox for clients whose cursor memory does not reach back to",
    ),
    ("curia_recall_seconds", Kind::Histogram, "Time until such a reading could be told from"),
    ("curia_lease_held", Kind::Gauge, "Whether this node holds the lease and makes the ticks (1) or not (0)"),
    (
        "curia_stream_read_until_timestamp_seconds",
        Kind::Measured,
        "Unix time up to which this node has read whatever was committed; time() minus this is how far it is behind",
    ),
    ("curia_stream_changes_total", Kind::Counter, "Changes of the forum read from the stream"),
    ("curia_outbox_looks_total", Kind::Counter, "Looks of this node into the outbox"),
    ("curia_outbox_poison_total", Kind::Counter, "Rows of the outbox that could not be understood and were set aside"),
    ("curia_outbox_bytes", Kind::Measured, "Size of the outbox, estimated by the node that holds the lease"),
    (
        "curia_malformed_permissions_total",
        Kind::Counter,
        "Boards and communities whose allowedRoles can't be understood",
    ),
    ("curia_facts_awaited_total", Kind::Counter, "Questions for rights that waited for a change of rights under way"),
    (
        "curia_joins_awaited_total",
        Kind::Counter,
        "Joins that waited until what was written before a change of rights was told",
    ),
    (
        "curia_relay_sent_total",
        Kind::CounterBy("outcome", &["sent", "left_out"]),
        "Ticks handed to other nodes over Redis, and messages that found no place in the queue",
    ),
    ("curia_relay_sent_bytes_total", Kind::Counter, "Bytes of the ticks handed to other nodes over Redis"),
    (
        "curia_relay_messages_total",
        Kind::CounterBy("outcome", &["taken", "missed", "astray", "overtaken", "foreign", "odd", "left_out"]),
        "Messages of other nodes about ticks, by what became of them",
    ),
    (
        "curia_circle_messages_total",
        Kind::CounterBy("outcome", &["taken", "not_understood", "left_out"]),
        "Messages of other nodes about who is here, by what became of them",
    ),
    (
        "curia_typing_left_out_total",
        Kind::Counter,
        "Beginnings and ends of writing that other nodes were not told, since too many waited",
    ),
    ("curia_presence_waiting", Kind::Gauge, "Comings and goings that wait to be told, since a crowd came or went"),
    ("curia_presence_waited_seconds", Kind::Histogram, "Time for which comings and goings waited to be told"),
    (
        "curia_facts_shared",
        Kind::Measured,
        "Whether rights that one node read are taken by the others (1) or not (0), where there is Redis and a secret",
    ),
    (
        "curia_shared_facts_total",
        Kind::CounterBy("outcome", &["hit", "miss", "old", "odd", "away"]),
        "Rights asked of Redis before the database, by what was found",
    ),
    ("curia_facts_refused_total", Kind::Counter, "Questions for rights that Redis answered with an error"),
    ("curia_http_connections", Kind::Gauge, "TCP connections that are open"),
    ("curia_http_connections_refused_total", Kind::Counter, "TCP connections closed unread because there are too many"),
    ("curia_http_accept_failures_total", Kind::Counter, "Attempts to accept a TCP connection that failed"),
    ("curia_http_origin_refused_total", Kind::Counter, "Requests of browsers refused because of their page's origin"),
];

/// Tells the recorder of all of them, and makes those appear that have a value before anything happens.
pub(super) fn describe() {
    for &(name, kind, text) in KNOWN {
        match kind {
            Kind::Counter => {
                describe_counter!(name, text);
                counter!(name).absolute(0);
            }
            Kind::CounterBy(label, values) => {
                describe_counter!(name, text);
                for value in values {
                    counter!(name, label => *value).absolute(0);
                }
            }
            Kind::Gauge => {
                describe_gauge!(name, text);
                gauge!(name).set(0.0);
            }
            Kind::Measured => describe_gauge!(name, text),
            Kind::Histogram => {
                describe_histogram!(name, text);
                drop(histogram!(name));
            }
        }
    }
}
