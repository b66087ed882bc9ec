//! A transaction in which a tick, a stretch of them, or facts are read.

use std::ops::{Deref, DerefMut};

use sqlx::{PgConnection, PgPool};

use super::pool::Lent;

/// See the module. Ended otherwise than by [`Reading::commit`], its connection is closed: nothing more may be waited for on it.
#[derive(Debug)]
pub(super) struct Reading(Lent);

impl Reading {
    /// Of a tick: with a snapshot of its own, which is taken by the first question.
    pub async fn begin(pool: &PgPool) -> Result<Self, sqlx::Error> {
        Self::begin_with(pool, include_str!("../../sql/outbox/begin.sql")).await
    }

    /// Of a stretch: the same, and the server gives up each question soon after `recall` has.
    pub async fn begin_stretch(pool: &PgPool) -> Result<Self, sqlx::Error> {
        Self::begin_with(pool, include_str!("../../sql/outbox/begin_stretch.sql")).await
    }

    /// Of facts: each question sees what stands by then, and the server gives it up soon after `facts` has.
    pub async fn begin_facts(pool: &PgPool) -> Result<Self, sqlx::Error> {
        Self::begin_with(pool, include_str!("../../sql/facts/begin.sql")).await
    }

    async fn begin_with(pool: &PgPool, begin: &'static str) -> Result<Self, sqlx::Error> {
        let mut connection = Lent::of(pool).await?;
        sqlx::raw_sql(begin).execute(&mut *connection).await?;
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
