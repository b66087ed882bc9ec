-- Keeps values in a hash for a time, unless what stands there is newer: of the same epoch and a later tick. What is no hash of ours
-- is written over, and so is one whose seal is known to be wrong.
-- KEYS[1]: the hash. ARGV: for how many milliseconds, epoch, tick, the wrong seal or nothing, then fields and values by turns.
if redis.call('TYPE', KEYS[1]).ok == 'hash' then
  local epoch, at, seal = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'at', 'seal'))
  -- Compared as texts: a number of Lua has 53 bits.
  local is_tick = at and string.match(at, '^%d+$')
  local is_later = is_tick and (#at > #ARGV[3] or (#at == #ARGV[3] and at > ARGV[3]))
  if epoch == ARGV[2] and is_later and seal and #seal == 43 and seal ~= ARGV[4] then
    return 0
  end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 5))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
