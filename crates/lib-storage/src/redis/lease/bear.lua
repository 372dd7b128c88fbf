#!lua flags=allow-oom
-- A process says that it bears a name, and hears which other one was the last to say so.
-- Owner: crates/lib-storage/src/redis/lease.rs
-- KEYS as in beat.lua; 6 bearers: name -> time and process
-- ARGV 1 name   2 process   3 time to live, ms
-- Returns the other process, or '' where it was this one, or longer ago than the time to live
-- Repeated: it no longer tells what a lost answer told. Two processes of one name are then warned of
-- in the log instead of the later one ending; fences keep the work one's all the same.
-- allow-oom: as in beat.lua.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local me, run, live = ARGV[1], ARGV[2], tonumber(ARGV[3])
if not live then return redis.error_reply('ERR the time to live is no number') end
local before = redis.call('HGET', KEYS[6], me) or ''
redis.call('HSET', KEYS[6], me, string.format('%.0f %s', now, run))
local said, other = string.match(before, '^(%d+) (.*)$')
if not said or other == run or tonumber(said) <= now - live then return '' end
return other
