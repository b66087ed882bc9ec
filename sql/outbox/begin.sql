-- Its own snapshot for the whole reading. What is read is small; compiling or spreading it would cost more than it could save.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL jit = off;
SET LOCAL max_parallel_workers_per_gather = 0;
