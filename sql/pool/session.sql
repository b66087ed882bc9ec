-- A backend that waits for a lock, or computes, looks once a second whether anybody still waits for its answer. Behind a transaction
-- pooler this stays with whichever session it reached, where it harms nobody.
SET client_connection_check_interval = '1s'
