-- As begin.sql. Whoever asks has given up, after ten seconds, when the server does.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL jit = off;
SET LOCAL max_parallel_workers_per_gather = 0;
SET LOCAL statement_timeout = '12s'
