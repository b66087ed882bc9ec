//! What every test here stands on.

pub mod postgres;
