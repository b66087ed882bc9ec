-- The lease goes with the session, and where a whole machine died the server has to find that out by itself: within some two seconds.
SET tcp_keepalives_idle = 1;
SET tcp_keepalives_interval = 1;
SET tcp_keepalives_count = 2;
SET tcp_user_timeout = 2000
