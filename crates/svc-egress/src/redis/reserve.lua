#!lua
-- Takes places in the even line in which a number's messages leave. A line of more than an hour is
-- left over from a wrong clock and is begun anew.
-- Owner: crates/svc-egress/src/redis.rs
-- KEYS 1 when the next message would leave if all had left evenly, in microseconds; absent after a
--      rest; losing it is harmless
-- ARGV 1 microseconds between messages   2 how many places
-- Returns how far ahead of now the first place is, in microseconds
-- Repeated: it takes twice the places, which only makes the number slower. Nothing repeats it: after
-- a lost answer this replica keeps the pace by itself.
local interval, places = tonumber(ARGV[1]), tonumber(ARGV[2])
if not interval or not places or interval < 1 or places < 1 then
  return redis.error_reply('ERR interval and places must be at least 1')
end
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local due = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
if due < now or due > now + 3600 * 1000000 then due = now end
local ends = due + interval * places
redis.call('SET', KEYS[1], string.format('%.0f', ends), 'PX', math.ceil((ends - now) / 1000) + 60000)
return string.format('%.0f', due - now)
