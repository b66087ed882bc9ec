//! Tests against a real PostgreSQL, each in a database of its own.

mod capture;
mod demo;
mod layers;
mod order;
mod socket;
mod support;
