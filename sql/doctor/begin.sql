-- Whoever looks changes nothing and waits for nobody. SET LOCAL: behind a transaction pooler the session is another's next.
BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
SET LOCAL statement_timeout = '2s';
SET LOCAL lock_timeout = '1s';
