-- Ends deliveries and parks what is to be parked of them.
-- Follows: park.lua
-- Owner: crates/svc-ingress/src/redis.rs
-- KEYS 1 fences   2 inbox (stream)   3 totals   4 attempts   5 parked   6 numbers   7 sequence
--      8... for each item to park: its key, its number's
-- ARGV 1 part   2 fence   3 bytes of all bodies   4 count of ids   5... ids   then items to park
-- Returns {deliveries left, bytes left}, or {-1} when the fence is another's
-- Repeated: harmless; what is gone is not counted again.
if (redis.call('HGET', KEYS[1], ARGV[1]) or '0') ~= ARGV[2] then return { -1 } end
local bytes, count = tonumber(ARGV[3]), tonumber(ARGV[4])
if not bytes or not count or (#ARGV - 4 - count) % #FIELDS ~= 0 then
  return redis.error_reply('ERR end.lua: wrong arguments')
end
local gone, at = 0, 5
while at < 5 + count do
  local last = math.min(at + 999, 4 + count)
  gone = gone + redis.call('XDEL', KEYS[2], unpack(ARGV, at, last))
  redis.call('HDEL', KEYS[4], unpack(ARGV, at, last))
  at = last + 1
end
local waiting = redis.call('XLEN', KEYS[2])
local left = tonumber(redis.call('HGET', KEYS[3], 'bytes') or '0')
-- Told again after a lost answer, the deliveries are gone and their bytes counted.
if gone > 0 then left = left - math.floor(bytes * gone / count) end
if waiting == 0 or left < 0 then left = 0 end
if gone > 0 then redis.call('HSET', KEYS[3], 'bytes', string.format('%.0f', left)) end
park(KEYS[5], KEYS[6], KEYS[7], 5 + count, 8)
return { waiting, left }
