//! A transaction in which a tick, or a stretch of them, is read.

use std::ops::{Deref, DerefMut};

use sqlx::{PgConnection, PgPool};

use super::pool::Lent;

/// See the module. Ended otherwise than by [`Reading::commit`], its connection is closed: nothing more may be waited for on it.
#[derive(Debug)]
pub(super) struct Reading(Lent);

impl Reading {
    /// With a snapshot of its own, which is taken by the first question.
    pub async fn begin(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let mut connection = Lent::of(pool).await?;
        sqlx::raw_sql(include_str!("../../sql/outbox/begin.sql")).execute(&mut *connection).await?;
        Ok(Self(connection))
    }

    /// Everything was read.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("COMMIT").execute(&mut *self.0).await?;
        self.0.give_back();
        Ok(())
    }
}

impl Deref for Reading {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Reading {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}
