#!lua flags=allow-oom
-- Claims parts that nobody holds, or that an earlier process of the same name held.
-- A fence is at least the time in ms: should a failover lose the newest, it is not given out again.
-- Owner: crates/lib-storage/src/redis/lease.rs
-- KEYS 1 members   2 addresses   3 owners   4 until   5 fences   6 bearers (see beat.lua)
-- ARGV 1 name   2 address   3 time to live, ms   4... parts
-- Returns {part, fence, ...} of those claimed
-- Repeated: harmless; it gives the same parts under new fences, and only the newest is good.
-- allow-oom: as in beat.lua.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local me, live = ARGV[1], tonumber(ARGV[3])
if not live then return redis.error_reply('ERR the time to live is no number') end
local free = {}
for i = 4, #ARGV do
  local part = ARGV[i]
  local owner = redis.call('HGET', KEYS[3], part)
  local till = tonumber(redis.call('HGET', KEYS[4], part) or '0')
  if not owner or owner == '' or owner == me or till <= now then
    free[#free + 1] = part
  end
end
local claimed = {}
if #free > 0 then redis.call('HSET', KEYS[2], me, ARGV[2]) end
for _, part in ipairs(free) do
  local last = tonumber(redis.call('HGET', KEYS[5], part) or '0')
  local fence = string.format('%.0f', math.max(last + 1, now))
  redis.call('HSET', KEYS[5], part, fence)
  redis.call('HSET', KEYS[3], part, me)
  redis.call('HSET', KEYS[4], part, string.format('%.0f', now + live))
  claimed[#claimed + 1] = part
  claimed[#claimed + 1] = fence
end
return claimed
