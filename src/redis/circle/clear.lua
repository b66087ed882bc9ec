-- Takes back what this node wrote, unless another has written something else since.
-- KEYS[1]: what it wrote to. ARGV: what.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
