#!lua flags=allow-oom
-- A replica begins to read. If the last one did not end in good order, what may have been under its
-- work is suspected: one more attempt, up to a ceiling.
-- Owner: crates/svc-ingress/src/redis/reading.rs
-- KEYS 1 fences   2 inbox (stream)   3 attempts: id -> count   4 reader: the fence of who reads
-- ARGV 1 part   2 fence   3 most deliveries   4 ceiling   5 most bytes   6 bytes each counts at least
-- Returns 1, or 0 when the fence is another's
-- Repeated: harmless; under the same fence nothing is suspected again.
-- allow-oom: only who reads empties a full Redis; what is written here is bounded by ARGV 3.
if (redis.call('HGET', KEYS[1], ARGV[1]) or '0') ~= ARGV[2] then return 0 end
local last = redis.call('GET', KEYS[4])
if last and last ~= ARGV[2] then
  local from, bytes = '-', 0
  local most_bytes, least = tonumber(ARGV[5]), tonumber(ARGV[6])
  for _ = 1, tonumber(ARGV[3]) do
    local found = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', 1)[1]
    if not found or bytes > most_bytes then break end
    local id, fields = found[1], found[2]
    bytes = bytes + math.max(least, #fields[6])
    local attempts = tonumber(redis.call('HGET', KEYS[3], id) or '0')
    if attempts < tonumber(ARGV[4]) then redis.call('HINCRBY', KEYS[3], id, 1) end
    from = '(' .. id
  end
end
redis.call('SET', KEYS[4], ARGV[2])
return 1
