-- A parked item was handed on: its bytes go, others are parked instead. It is remembered for a
-- while, so that a repeated replay is answered.
-- Follows: park.lua
-- Owner: crates/svc-ingress/src/redis/parked.rs
-- KEYS 1 parked   2 numbers   3 sequence   4 the item   5 its number's
--      6... for each item to park instead: its key, its number's
-- ARGV 1 id   2 number   3 seconds to remember   4... items to park instead
-- Returns 1
-- Repeated: harmless; an item is taken out once.
local known = redis.call('HMGET', KEYS[4], 'number', 'replayed')
if known[1] and known[1] ~= ARGV[2] then
  return redis.error_reply('ERR replayed.lua: the item belongs to another number')
end
if (#ARGV - 3) % #FIELDS ~= 0 then return redis.error_reply('ERR replayed.lua: wrong arguments') end
if known[1] and not known[2] then
  redis.call('HDEL', KEYS[4], 'payload')
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[5], ARGV[1])
  if redis.call('HINCRBY', KEYS[2], ARGV[2], -1) <= 0 then redis.call('HDEL', KEYS[2], ARGV[2]) end
  redis.call('HSET', KEYS[4], 'replayed', '1')
  redis.call('EXPIRE', KEYS[4], ARGV[3])
end
park(KEYS[1], KEYS[2], KEYS[3], 4, 6)
return 1
