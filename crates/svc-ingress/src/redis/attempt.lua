#!lua flags=allow-oom
-- Counts an attempt at a delivery, or takes it back.
-- Owner: crates/svc-ingress/src/redis/reading.rs
-- KEYS 1 fences   2 inbox (stream)   3 attempts
-- ARGV 1 part   2 fence   3 id   4 change: 1 or -1
-- Returns attempts now, 0 when there is no such delivery; -1 when the fence is another's
-- Repeated: it counts again, and after a lost answer the reader does repeat it. An attempt counted
-- twice lets a delivery that goes alone already be parked sooner, with its bytes, to be replayed; one
-- taken back twice lets it be tried once more. Neither loses it or hands anything on twice.
-- allow-oom: as in begin.lua; it writes one number, of a delivery that is there.
if (redis.call('HGET', KEYS[1], ARGV[1]) or '0') ~= ARGV[2] then return -1 end
if #redis.call('XRANGE', KEYS[2], ARGV[3], ARGV[3]) == 0 then return 0 end
local attempts = tonumber(redis.call('HGET', KEYS[3], ARGV[3]) or '0') + tonumber(ARGV[4])
if attempts > 0 then
  redis.call('HSET', KEYS[3], ARGV[3], string.format('%.0f', attempts))
  return attempts
end
redis.call('HDEL', KEYS[3], ARGV[3])
return 0
