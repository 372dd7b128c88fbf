#!lua flags=allow-oom
-- Changes one part's live state, all or nothing, under a fence. Everything is checked before the
-- first write: scripts do not roll back.
-- Owner: crates/svc-routing/src/store/redis.rs
-- KEYS 1 meta   2 engagements   3 agents   4 desks   5 outgoing   6 commands: one hash tag
-- ARGV 1 fence   then four for each change: verb, place of the key, field or score, value
-- Returns 1, or 0 when the fence is another's
-- Repeated: harmless; the same call leaves the same state.
-- allow-oom: an agent must be able to accept and close over the memory limit, and what is kept here
-- is bounded by what was admitted.
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then
  return 0
end
local verbs = { set = true, delete = true, add = true, cut = true }
if (#ARGV - 1) % 4 ~= 0 then
  return redis.error_reply('FRONTDESK changes must come in fours')
end
for i = 2, #ARGV, 4 do
  if not verbs[ARGV[i]] or not KEYS[tonumber(ARGV[i + 1])] then
    return redis.error_reply('FRONTDESK unknown change ' .. ARGV[i])
  end
end
for i = 2, #ARGV, 4 do
  local verb, key, field = ARGV[i], KEYS[tonumber(ARGV[i + 1])], ARGV[i + 2]
  if verb == 'set' then
    redis.call('HSET', key, field, ARGV[i + 3])
  elseif verb == 'delete' then
    redis.call('HDEL', key, field)
  elseif verb == 'add' then
    redis.call('ZADD', key, field, ARGV[i + 3])
  else
    redis.call('ZREMRANGEBYSCORE', key, '-inf', field)
  end
end
return 1
