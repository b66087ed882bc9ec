-- Keeps for longer what this node said, and says it again where nothing is said. What another said ends when that one no longer keeps it.
-- KEYS[1]: where it is said. ARGV: what this node says, and for how long.
local said = redis.call('GET', KEYS[1])
if said == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
elseif not said then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
