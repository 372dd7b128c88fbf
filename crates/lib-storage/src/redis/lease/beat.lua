#!lua flags=allow-oom
-- A member says that it lives, prolongs what it holds, and hears who else is there.
-- Owner: crates/lib-storage/src/redis/lease.rs
-- KEYS 1 members: name -> last beat (sorted set)   2 addresses: name -> address
--      3 owners: part -> name   4 until: part -> time   5 fences: part -> fence
--      6 bearers: name -> who bears it (see bear.lua)
-- ARGV 1 name   2 address   3 time to live, ms
-- Returns {name, address, ...}, {part, owner, address, fence, expired 0/1, ...}
-- Repeated: harmless; it is one more beat.
-- allow-oom: who empties a full Redis works under a lease; what is written here is small and
-- bounded.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local me, live = ARGV[1], tonumber(ARGV[3])
if not live then return redis.error_reply('ERR the time to live is no number') end
local owners = redis.call('HGETALL', KEYS[3])
-- Long dead members go, a few at a time.
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - 100 * live, 'LIMIT', 0, 20)) do
  redis.call('ZREM', KEYS[1], name)
  redis.call('HDEL', KEYS[2], name)
  redis.call('HDEL', KEYS[6], name)
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now), me)
redis.call('HSET', KEYS[2], me, ARGV[2])
local leases = {}
for i = 1, #owners, 2 do
  local part, owner = owners[i], owners[i + 1]
  local till = tonumber(redis.call('HGET', KEYS[4], part) or '0')
  -- What is over stays over: its next owner may be about to take it.
  if owner == me and till > now then
    till = now + live
    redis.call('HSET', KEYS[4], part, string.format('%.0f', till))
  end
  local address = redis.call('HGET', KEYS[2], owner) or ''
  local fence = redis.call('HGET', KEYS[5], part) or '0'
  for _, word in ipairs({ part, owner, address, fence, till > now and '0' or '1' }) do
    leases[#leases + 1] = word
  end
end
local members = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now - live), '+inf')) do
  members[#members + 1] = name
  members[#members + 1] = redis.call('HGET', KEYS[2], name) or ''
end
return { members, leases }
