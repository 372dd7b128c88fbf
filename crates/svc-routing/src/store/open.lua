#!lua flags=allow-oom
-- Owner: svc-routing, store/redis.rs. Takes a part's live state over under a fence, so that an
-- earlier holder's commits are refused. With ARGV 2 = 'forget', also forgets what the log can tell.
-- KEYS: 1 meta, 2 engagements, 5th of commit.lua is here 3: outgoing. ARGV: 1 fence, 2 '' or 'forget'.
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
