-- Values of a hash, where it is one of ours by its size: nothing where there is none, a number where it can't be one.
-- KEYS[1]: the hash. ARGV: how many bytes the values may have together, and their fields.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then
  return false
elseif kind ~= 'hash' then
  return 0
end
local bytes = 0
for field = 2, #ARGV do
  bytes = bytes + redis.call('HSTRLEN', KEYS[1], ARGV[field])
end
if bytes > tonumber(ARGV[1]) then
  return 0
end
return redis.call('HMGET', KEYS[1], unpack(ARGV, 2))
