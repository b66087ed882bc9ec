//! Tests against a real PostgreSQL, each in a database of its own.

mod asyncapi;
mod browser;
mod capture;
mod cli;
mod crowd;
mod demo;
mod drain;
mod edge;
mod epoch;
#[path = "../../fuzz/src/lib.rs"]
mod fuzz;
mod imports;
mod layers;
mod limits;
mod link;
mod migrate;
mod nodes;
mod notifications;
mod odd_rows;
mod oracle;
mod order;
mod paging;
mod poison;
mod presence;
mod replay;
mod retention;
mod seeds;
mod slow;
mod socket;
mod sticky;
mod support;
mod tls;
mod tokens;
mod typing;
mod wake;
mod why;
