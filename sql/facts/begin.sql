-- Each question sees what stands by then. Whoever asks has given up, after three seconds, when the server does: so it does also where
-- nobody tells it that he has gone.
BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
SET LOCAL statement_timeout = '4s'
