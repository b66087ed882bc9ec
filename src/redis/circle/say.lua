-- Takes what a node says of its users in a scope, counts it, and publishes it on the channel that has the key's name.
-- KEYS[1]: the scope's hash. ARGV: a generation in case it has none, for how long it is kept with somebody in it and with nobody, the
-- node; then of each user his id, the number of the word (0 from one who speaks for a node that has died) and how he is there, or nothing
-- if he no longer is. Whoever says nothing new is answered which generation it is: where he knows another, he does not know who is here.
local key, node = KEYS[1], ARGV[4]
local said = {}
for at = 5, #ARGV, 3 do
  local user, nth, stay = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local field = 'u:' .. user
  local read, stays = pcall(cjson.decode, redis.call('HGET', key, field) or '{}')
  if not read or type(stays) ~= 'table' then
    stays = {}
  end
  for of, how in pairs(stays) do
    -- Nothing that a node wrote, and something that may be impossible to write again.
    if type(of) ~= 'string' or type(how) ~= 'string' then
      stays[of] = nil
    end
  end
  local before = stays[node] or ''
  if before ~= stay then
    stays[node] = stay ~= '' and stay or nil
    if next(stays) == nil then
      redis.call('HDEL', key, field)
    else
      redis.call('HSET', key, field, cjson.encode(stays))
    end
  end
  -- A node waits to hear its own words, of which others may be news to nobody.
  if before ~= stay or nth ~= '0' then
    said[#said + 1] = {user, nth, stay}
  end
end
if #said > 0 then
  local generation = counted(key, ARGV[1])
  local version = redis.call('HINCRBY', key, 'version', 1)
  -- Written by hand what cjson would write with an exponent.
  local head = string.format('{"generation":%s,"version":%.0f,"node":"%s","said":', generation, version, node)
  redis.call('PUBLISH', key, head .. cjson.encode(said) .. '}')
end
keep(key, ARGV[2], ARGV[3], true)
return #said == 0 and {redis.call('HGET', key, 'generation')} or {}
