#!lua flags=allow-oom
-- Gives up parts, and with 'leave' the membership.
-- Owner: crates/lib-storage/src/redis/lease.rs
-- KEYS 1 members   2 addresses   3 owners   4 until   5 fences   6 bearers (see beat.lua)
-- ARGV 1 name   2 'leave' or ''   3... parts
-- Returns 'ok'
-- Repeated: harmless; what another has claimed meanwhile stays with it.
-- allow-oom: over the limit too another must be able to take over; it writes less than it frees.
local me = ARGV[1]
for i = 3, #ARGV do
  local part = ARGV[i]
  if redis.call('HGET', KEYS[3], part) == me then
    redis.call('HDEL', KEYS[4], part)
    redis.call('HSET', KEYS[3], part, '')
  end
end
if ARGV[2] == 'leave' then
  redis.call('ZREM', KEYS[1], me)
  redis.call('HDEL', KEYS[2], me)
  redis.call('HDEL', KEYS[6], me)
end
return 'ok'
