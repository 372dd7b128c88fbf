#!lua flags=allow-oom
-- Takes a part's live state over under a fence, so that an earlier holder's commits are refused.
-- With 'forget', also forgets what the log can tell.
-- Owner: crates/svc-routing/src/store/redis.rs
-- KEYS 1 meta   2 engagements   3 outgoing (5 in commit.lua)
-- ARGV 1 fence   2 '' or 'forget'
-- Returns 1, or 0 when a later fence has it
-- Repeated: harmless; before anything is committed under the fence it leaves the same state.
-- allow-oom: agents must be served over the limit; it writes one number.
local fence = tonumber(ARGV[1])
if fence == nil then
  return redis.error_reply('FRONTDESK the fence is no number')
end
local held = tonumber(redis.call('HGET', KEYS[1], 'fence') or '0')
if held > fence then
  return 0
end
if ARGV[2] == 'forget' then
  redis.call('DEL', KEYS[2], KEYS[3])
  redis.call('HDEL', KEYS[1], 'cursor')
end
redis.call('HSET', KEYS[1], 'fence', ARGV[1])
return 1
