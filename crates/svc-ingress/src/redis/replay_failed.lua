#!lua
-- A parked item could not be handed on.
-- Owner: crates/svc-ingress/src/redis/parked.rs
-- KEYS 1 the item
-- ARGV 1 cause
-- Returns 1
-- Repeated: it counts again. Nothing repeats it by itself: who asked for the replay is told of the
-- failure and asks for another, which is one more attempt. People read the count; it decides nothing.
local known = redis.call('HMGET', KEYS[1], 'id', 'replayed')
if known[1] and not known[2] then
  redis.call('HINCRBY', KEYS[1], 'attempts', 1)
  redis.call('HSET', KEYS[1], 'cause', ARGV[1])
end
return 1
