-- Generation and version of a scope, by which its words are counted. What is no such number is nothing that a node wrote: it is counted
-- from anew, as where there is nothing yet, so that whoever watches reads it anew. `draw` is the generation that it then has.
local function counted(key, draw)
  local found = redis.call('HMGET', key, 'generation', 'version')
  local generation, version = found[1], found[2]
  -- What is shorter than these is a whole number to whoever reads it, also here.
  if generation and string.match(generation, '^[1-9]%d*$') and #generation <= 16
    and version and string.match(version, '^%d+$') and #version <= 15 and (version == '0' or version:sub(1, 1) ~= '0') then
    return generation, version
  end
  redis.call('HSET', key, 'generation', draw, 'version', 0)
  return draw, '0'
end
-- For how long a scope is kept: one in which nobody is names nobody, and has only to be cleared up some time. One in which somebody is,
-- is kept for longer by nodes that have people there alone (`ours`): whoever else looks would keep those of a node that has died.
local function keep(key, kept, empty, ours)
  if redis.call('HLEN', key) <= 2 then
    redis.call('PEXPIRE', key, empty)
    return
  end
  local left = redis.call('PTTL', key)
  if ours or left < 0 or left > tonumber(kept) then
    redis.call('PEXPIRE', key, kept)
  end
end
