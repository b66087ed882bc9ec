//! Servers that are restarted are there again: PostgreSQL with what was committed, Redis empty, both on their ports.

use curia_scratch::{Options, Postgres, Redis, ScratchError};

#[test]
fn an_immediate_restart_keeps_what_was_committed() -> Result<(), ScratchError> {
    let settings = vec![("synchronous_commit".to_owned(), "on".to_owned())];
    let mut server = Postgres::start(&Options { settings, ..Options::default() })?;
    let (port, directory) = (server.port(), server.directory().to_owned());
    server.run_script("postgres", "CREATE TABLE kept (n integer); INSERT INTO kept VALUES (1);")?;
    server.restart_immediately()?;
    assert_eq!(server.port(), port);
    server.run_script("postgres", "DO $$ BEGIN ASSERT (SELECT n FROM kept) = 1; END $$;")?;
    server.restart_immediately()?;
    server.stop()?;
    assert!(!directory.exists());
    Ok(())
}

#[test]
fn redis_comes_back_on_its_port() -> Result<(), ScratchError> {
    let mut server = Redis::start()?;
    let port = server.port();
    server.restart()?;
    assert_eq!(server.port(), port);
    server.stop().map(drop)
}
