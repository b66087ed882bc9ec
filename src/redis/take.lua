-- Takes one command of a user and class, or says after how many milliseconds it would be taken.
-- KEYS[1]: when commands were taken, oldest first, by the clock of this server. ARGV: how many, within how many milliseconds.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local count, within = tonumber(ARGV[1]), tonumber(ARGV[2])

local newest = redis.call('LINDEX', KEYS[1], -1)
if newest and tonumber(newest) > now then
  -- The clock was set back: nobody is to wait until it is where it was.
  redis.call('DEL', KEYS[1])
end
local oldest = redis.call('LINDEX', KEYS[1], 0)
while oldest and tonumber(oldest) + within <= now do
  redis.call('LPOP', KEYS[1])
  oldest = redis.call('LINDEX', KEYS[1], 0)
end

local taken = redis.call('LLEN', KEYS[1])
if taken >= count then
  -- The one behind which there is room; not the oldest where more were allowed before.
  return tonumber(redis.call('LINDEX', KEYS[1], taken - count)) + within - now
end
redis.call('RPUSH', KEYS[1], string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], within)
return 0
