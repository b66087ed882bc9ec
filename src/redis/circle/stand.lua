-- Where a scope stands, and how many are in it; it is kept for longer by asking.
-- KEYS[1]: its hash. ARGV: for how long it is kept with somebody in it and with nobody.
local found = redis.call('HMGET', KEYS[1], 'generation', 'version')
keep(KEYS[1], ARGV[1], ARGV[2])
return {found[1], found[2], redis.call('HLEN', KEYS[1])}
