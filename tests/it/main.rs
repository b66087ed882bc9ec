//! Tests against a real PostgreSQL, each in a database of its own.

mod browser;
mod capture;
mod cli;
mod demo;
mod drain;
mod edge;
mod layers;
mod migrate;
mod order;
mod paging;
mod replay;
mod retention;
mod slow;
mod socket;
mod support;
mod tls;
mod wake;
