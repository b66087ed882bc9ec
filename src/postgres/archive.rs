//! The stream as the outbox still holds it, for those whose cursor is older than what is in memory.
//!
//! Ticks, rows and the newest rights are read in one snapshot, so what is shown is never newer than the tick that is named with
//! it, and that has to be applied first. Bounded by the number of rows, which is counted before any is read. Cancelling is safe.

use sqlx::PgPool;

use crate::{
    batch::{self, HARMLESS},
    change::OutboxRow,
    chronicle::{Position, Stretch},
    event::Needs,
    ids::{Epoch, Place, Tick},
    ports::{Archive, FactsError, Past},
    postgres::{pool, reading::Reading, rows, said::Said},
};

/// The outbox as the place where the past is looked up.
#[derive(Clone, Debug)]
pub struct OutboxArchive {
    pub pool: PgPool,
    /// Content is cut to so many bytes.
    pub content_limit: usize,
}

impl Archive for OutboxArchive {
    async fn stretch(&self, epoch: Epoch, from: Tick, upto: Tick, limit: usize) -> Result<Past, FactsError> {
        let found = match self.read(epoch, from, upto, limit).await {
            // What ended a connection ends the question and not the past; others will have ended with it.
            Err(sqlx::Error::Io(_)) => {
                pool::forget_idle(&self.pool);
                self.read(epoch, from, upto, limit).await
            }
            found => found,
        };
        found.map_err(|error| FactsError(Said(error).into()))
    }
}

impl OutboxArchive {
    async fn read(&self, epoch: Epoch, from: Tick, upto: Tick, limit: usize) -> Result<Past, sqlx::Error> {
        let mut reading = Reading::begin_stretch(&self.pool).await?;
        let counted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let size = sqlx::query_file!("sql/outbox/stretch_size.sql", epoch.0, from.0, upto.0, counted);
        let size = size.fetch_one(&mut *reading).await?;
        if !size.kept || size.rows >= counted {
            reading.commit().await?;
            return Ok(Past::TooLarge);
        }
        let harmless: Vec<String> = HARMLESS.iter().map(|kind| (*kind).to_owned()).collect();
        let as_of = sqlx::query_file!("sql/outbox/stretch_as_of.sql", epoch.0, &harmless);
        let as_of = as_of.fetch_one(&mut *reading).await?;
        if as_of.restless {
            reading.commit().await?;
            return Ok(Past::Restless(Tick(as_of.tick)));
        }
        let found = sqlx::query_file!("sql/outbox/stretch.sql", epoch.0, from.0, upto.0);
        let found = found.fetch_all(&mut *reading).await?;
        let mut changes = Vec::with_capacity(found.len());
        for row in found {
            let ordinal = u32::try_from(row.ordinal).unwrap_or(u32::MAX);
            let outbox = OutboxRow {
                seq: row.seq,
                at: row.at,
                kind: row.kind,
                board_id: row.board_id,
                post_id: row.post_id,
                row_id: row.row_id,
                data: row.data,
            };
            let place = Place { tick: Tick(row.tick), ordinal, part: 0 };
            // What can't be read was told as poison when its tick was; a change of rights among it is a reset.
            let (entries, _) = batch::read(std::slice::from_ref(&outbox), 0);
            changes.extend(entries.into_iter().map(|entry| (Position { place, at: entry.at }, entry.change)));
        }
        let needs = Needs::of(changes.iter().map(|(_, change)| change));
        let rows = rows::load(&mut reading, &needs, self.content_limit).await?;
        reading.commit().await?;
        let (from, upto) = (Place::end_of(from), Place::end_of(upto));
        let stretch = Stretch { epoch, from, upto, changes, rows, as_of: Tick(as_of.tick) };
        Ok(Past::Whole(Box::new(stretch)))
    }
}
