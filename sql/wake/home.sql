-- Asked of whoever listens and of what is read: both have to be in one place, or no bell ever arrives.
SELECT curia_realtime.home() AS "home?"
