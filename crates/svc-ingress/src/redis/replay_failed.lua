#!lua
-- A parked item could not be handed on.
-- KEYS 1 the item   ARGV 1 cause
local known = redis.call('HMGET', KEYS[1], 'id', 'replayed')
if known[1] and not known[2] then
  redis.call('HINCRBY', KEYS[1], 'attempts', 1)
  redis.call('HSET', KEYS[1], 'cause', ARGV[1])
end
return 1
