-- Opens or keeps sessions of a user.
-- KEYS[1]: until when each of his sessions is taken to last, by the clock of this server. ARGV: how many he may have, or 0 where they
-- are kept whatever their number; for how long; the sessions.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local most, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
-- Where the clock was set back each lasts as if it had been renewed now: those that live are to count until then, too.
for _, session in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now + lease + 1, '+inf')) do
  redis.call('ZADD', KEYS[1], now + lease, session)
end
-- A question that is asked again was answered before.
if most > 0 and not redis.call('ZSCORE', KEYS[1], ARGV[3]) and redis.call('ZCARD', KEYS[1]) >= most then
  return 0
end
for at = 3, #ARGV do
  redis.call('ZADD', KEYS[1], now + lease, ARGV[at])
end
redis.call('PEXPIRE', KEYS[1], lease)
return 1
