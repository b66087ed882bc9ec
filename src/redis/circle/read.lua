-- A scope, which comes to be if it is not there yet: its count, the first page of its fields with the cursor to the next, and
-- how many fields there are.
-- KEYS[1]: its hash. ARGV: a generation in case it has none, for how long it is kept with somebody in it and with nobody, fields of a page,
-- where it is known to have stood, and 1 of a node that has people there.
local generation, version = counted(KEYS[1], ARGV[1])
-- Fewer words than were said: the latest are lost, and others may get their numbers.
if generation == ARGV[5] and tonumber(version) < tonumber(ARGV[6]) then
  generation = ARGV[1]
end
-- Where nothing can be written, nothing can be said either: then it is not read.
redis.call('HSET', KEYS[1], 'generation', generation)
keep(KEYS[1], ARGV[2], ARGV[3], ARGV[7] == '1')
local page = redis.call('HSCAN', KEYS[1], '0', 'COUNT', ARGV[4])
return {generation, version, page[1], page[2], redis.call('HLEN', KEYS[1])}
