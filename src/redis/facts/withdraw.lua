-- Withdraws a hash that has this seal; any other stays.
-- KEYS[1]: the hash. ARGV: the seal.
if redis.call('TYPE', KEYS[1]).ok == 'hash' and redis.call('HGET', KEYS[1], 'seal') == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
