-- All of a scope, which comes to be if it is not there yet.
-- KEYS[1]: its hash. ARGV: a generation in case it has none, for how long it is kept.
redis.call('HSETNX', KEYS[1], 'generation', ARGV[1])
redis.call('HSETNX', KEYS[1], 'version', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('HGETALL', KEYS[1])
