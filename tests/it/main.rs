//! Tests against a real PostgreSQL, each in a database of its own.

mod capture;
mod order;
mod socket;
mod support;
