-- Says that a node lives, and which others do; whether it was taken to live until now.
-- KEYS[1]: until when each lives, by the clock of this server. ARGV: the node, for how long, and for how long a node does at most.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease, most = tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
-- Where the clock was set back nobody lives longer than from now on.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now + most), '+inf')
local lived = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], now + lease, ARGV[1])
redis.call('PEXPIRE', KEYS[1], most)
return {lived and 1 or 0, redis.call('ZRANGE', KEYS[1], 0, -1)}
