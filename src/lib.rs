//! Every committed change of the forum, in order, to the browsers that may see it.

pub mod access;
pub mod actor;
pub mod app;
pub mod audience;
pub mod batch;
pub mod change;
pub mod command;
pub mod config;
pub mod contract;
pub mod dispatch;
pub mod event;
pub mod excerpt;
pub mod fence;
pub mod follow;
pub mod gateway;
pub mod http;
pub mod ids;
pub mod jwt;
pub mod link;
pub mod merge;
pub mod ports;
pub mod postgres;
pub mod rooms;
pub mod socket;
pub mod typescript;
pub mod versions;
