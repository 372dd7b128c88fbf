#!lua flags=allow-oom
-- The reader ends in good order.
-- Owner: crates/svc-ingress/src/redis/reading.rs
-- KEYS 1 reader
-- ARGV 1 fence
-- Returns 1
-- Repeated: harmless; a reader that began meanwhile has another fence.
-- allow-oom: it only frees.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
