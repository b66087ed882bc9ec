//! Where reading goes on, in a new epoch where the one before is broken.

use std::time::Duration;

use sqlx::PgPool;

use super::OutboxError;
use crate::{
    ids::{Epoch, Tick},
    postgres::{
        capture, epoch,
        pool::{Lent, answered},
    },
    snapshot::Snapshot,
};

/// So long the question for a position may take. Tables that are being restored are locked meanwhile, and whoever asks again waits at
/// the end of the queue.
const FOUND_WITHIN: Duration = Duration::from_secs(30);

/// Why an epoch begins behind one in which not every change was noted.
pub(super) const UNNOTED: &str =
    "triggers were missing, switched off or made anew: what was written meanwhile was not noted";

/// Where reading stands.
pub(super) struct Position {
    pub epoch: Epoch,
    pub tick: Tick,
    pub snapshot: Snapshot,
}

/// Where reading goes on, and why the epoch began.
pub(super) struct TakenUp {
    pub position: Position,
    pub reason: String,
    /// Of the triggers ([`capture::Capture::mark`]).
    pub mark: String,
}

/// The position behind this tick, else behind the newest; none where it is not kept, or where reading does not go on before somebody has
/// begun an epoch. Nothing is begun here.
pub(super) async fn recorded(pool: &PgPool, behind: Option<(Epoch, Tick)>) -> Result<Option<TakenUp>, OutboxError> {
    let mut connection = Lent::of(pool).await?;
    let told = (None::<i64>, None::<i64>, None::<&str>);
    let stands = sqlx::query_file!("sql/outbox/position.sql", told.0, told.1, told.2);
    let stands = answered(FOUND_WITHIN, stands.fetch_one(&mut *connection)).await?;
    if stands.standby {
        return Err(OutboxError::Standby);
    }
    let seen = answered(FOUND_WITHIN, capture::look(&mut connection)).await?;
    if let Some(lacking) = seen.lacking {
        return Err(OutboxError::Incomplete { epoch: stands.epoch.map(Epoch), lacking });
    }
    let newest = stands.epoch.zip(stands.tick).zip(stands.snapshot);
    let position = match (stands.broken, behind, newest) {
        (Some(_), ..) => None,
        (None, Some((epoch, tick)), _) => {
            let kept = sqlx::query_file_scalar!("sql/tail/behind.sql", epoch.0, tick.0);
            let kept = answered(FOUND_WITHIN, kept.fetch_optional(&mut *connection)).await?;
            kept.map(|snapshot| Ok::<_, OutboxError>(Position { epoch, tick, snapshot: snapshot.parse()? }))
                .transpose()?
        }
        (None, None, Some(((epoch, tick), snapshot))) => {
            Some(Position { epoch: Epoch(epoch), tick: Tick(tick), snapshot: snapshot.parse()? })
        }
        (None, None, None) => None,
    };
    connection.give_back();
    let reason = stands.reason.unwrap_or_default();
    Ok(position.map(|position| TakenUp { position, reason, mark: seen.mark }))
}

/// The position to go on from, for somebody who has told up to `told` and saw that in the epoch `torn` not every change was noted.
pub(super) async fn take_up(
    pool: &PgPool,
    told: Option<&Position>,
    torn: Option<Epoch>,
) -> Result<TakenUp, OutboxError> {
    let mut connection = Lent::of(pool).await?;
    // Where an epoch begins, the second look finds it, whoever began it.
    for _ in 0..2 {
        let position = sqlx::query_file!(
            "sql/outbox/position.sql",
            told.map(|told| told.epoch.0),
            told.map(|told| told.tick.0),
            told.map(|told| told.snapshot.as_str())
        );
        let position = answered(FOUND_WITHIN, position.fetch_one(&mut *connection)).await?;
        if position.standby {
            // The next attempt is a connection of its own: the address may lead to the primary by then.
            return Err(OutboxError::Standby);
        }
        let seen = answered(FOUND_WITHIN, capture::look(&mut connection)).await?;
        if let Some(lacking) = seen.lacking {
            return Err(OutboxError::Incomplete { epoch: position.epoch.map(Epoch), lacking });
        }
        // Where somebody else has begun one since, that is the one.
        let is_torn = torn.is_some_and(|torn| position.epoch == Some(torn.0));
        let broken = position.broken.or_else(|| is_torn.then(|| UNNOTED.to_owned()));
        match (broken, position.epoch, position.tick, position.snapshot) {
            (None, Some(epoch), Some(tick), Some(snapshot)) => {
                connection.give_back();
                let stands = Position { epoch: Epoch(epoch), tick: Tick(tick), snapshot: snapshot.parse()? };
                return Ok(TakenUp { position: stands, reason: position.reason.unwrap_or_default(), mark: seen.mark });
            }
            (reason, seen, ..) => {
                let reason = reason.as_deref().unwrap_or("no position was left in the tables of curia_realtime");
                epoch::begin(&mut connection, seen.map(Epoch), reason).await?;
            }
        }
    }
    Err(OutboxError::Unsettled)
}
