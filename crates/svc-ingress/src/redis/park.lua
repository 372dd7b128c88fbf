#!lua flags=allow-oom
-- Parking: the beginning of end.lua and replayed.lua, which does nothing by itself.
-- An item's key is a hash; `parked` and one sorted set per number hold ids in order of parking;
-- `numbers` counts them: number -> items.
-- Owner: crates/svc-ingress/src/redis/parked.rs
-- KEYS those of the script that follows
-- ARGV those of the script that follows
-- Returns what that returns
-- Repeated: harmless; an item that is there is left as it is.
-- allow-oom: both may run while Redis is full, because they free first what they write then.
local FIELDS = {
  'id', 'delivery', 'ordinal', 'position', 'cause', 'number', 'admitted_at', 'parked_at', 'attempts',
  'traceparent', 'payload',
}
-- Parks the items at ARGV[at]..., one after the other with all FIELDS; their keys are at
-- KEYS[key]...: of the item, of its number.
local function park(parked, numbers, sequence, at, key)
  while ARGV[at] do
    local item, of_number = KEYS[key], KEYS[key + 1]
    if redis.call('EXISTS', item) == 0 then
      local place = redis.call('INCR', sequence)
      local write = { 'HSET', item, 'sequence', place }
      for i, field in ipairs(FIELDS) do
        write[#write + 1] = field
        write[#write + 1] = ARGV[at + i - 1]
      end
      redis.call(unpack(write))
      redis.call('ZADD', parked, place, ARGV[at])
      redis.call('ZADD', of_number, place, ARGV[at])
      redis.call('HINCRBY', numbers, ARGV[at + 5], 1)
    end
    at, key = at + #FIELDS, key + 2
  end
end
