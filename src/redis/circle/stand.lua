-- Where a scope stands, and how many are in it; it is kept for longer by whoever has people there, or by anybody while nobody is there.
-- KEYS[1]: its hash. ARGV: for how long it is kept with somebody in it and with nobody, and 1 of a node that has people there.
local found = redis.call('HMGET', KEYS[1], 'generation', 'version')
keep(KEYS[1], ARGV[1], ARGV[2], ARGV[3] == '1')
return {found[1], found[2], redis.call('HLEN', KEYS[1])}
